//! Formats that sources, sinks and serializers share, byte by byte.
