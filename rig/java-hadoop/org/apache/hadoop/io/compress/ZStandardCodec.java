package org.apache.hadoop.io.compress;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;

import com.github.luben.zstd.ZstdInputStream;

/**
 * Stands before Hadoop's class of this name, which needs Hadoop's native library, and that is not released as a jar.
 * This one decompresses by zstd-jni; all else about a file is read by Hadoop's own classes.
 */
public class ZStandardCodec implements CompressionCodec {
  @Override
  public CompressionInputStream createInputStream(InputStream in) throws IOException {
    return new Stream(in);
  }

  @Override
  public CompressionInputStream createInputStream(InputStream in, Decompressor ignored) throws IOException {
    return new Stream(in);
  }

  @Override
  public CompressionOutputStream createOutputStream(OutputStream out) {
    throw new UnsupportedOperationException();
  }

  @Override
  public CompressionOutputStream createOutputStream(OutputStream out, Compressor ignored) {
    throw new UnsupportedOperationException();
  }

  @Override
  public Class<? extends Compressor> getCompressorType() {
    return null;
  }

  @Override
  public Compressor createCompressor() {
    return null;
  }

  @Override
  public Class<? extends Decompressor> getDecompressorType() {
    return null;
  }

  @Override
  public Decompressor createDecompressor() {
    return null;
  }

  @Override
  public String getDefaultExtension() {
    return ".zst";
  }

  private static final class Stream extends CompressionInputStream {
    private ZstdInputStream frames;

    Stream(InputStream in) throws IOException {
      super(in);
    }

    @Override
    public int read() throws IOException {
      byte[] one = new byte[1];
      return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] bytes, int offset, int length) throws IOException {
      if (frames == null) {
        frames = new ZstdInputStream(in);
      }
      return frames.read(bytes, offset, length);
    }

    @Override
    public void resetState() {
      frames = null;
    }
  }
}
