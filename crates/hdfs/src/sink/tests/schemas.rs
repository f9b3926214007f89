use std::fs;

use flume_core::Cause;

use super::{
    faults::on,
    model::{Fault, Model},
    *,
};

/// Buckets share the documents, so each would wait for all before it.
#[tokio::test(start_paused = true)]
async fn a_file_system_that_does_not_answer_is_asked_for_a_schema_once_not_by_each_bucket() {
    let model = Model::default();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let avro = "serializer = org.apache.flume.sink.hdfs.AvroEventSerializer$Builder\n\
                serializer.schemaURL = hdfs://nn/int.avsc";
    let mut sink = on(&model, avro, &cx);
    sink.open().await.unwrap();
    model.put("/int.avsc", "\"int\"");
    model.fault("read", "/int.avsc", Fault::Hang, usize::MAX);
    let batch = events("1:a 2:b 3:c 4:d 5:e");
    let start = Instant::now();
    assert_eq!(sink.deliver(&batch).await.unwrap().rejected.len(), 5);
    assert!(
        start.elapsed() < Duration::from_secs(31),
        "{:?}",
        start.elapsed()
    );
    model.heal();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(sink.deliver(&batch).await.unwrap().rejected.is_empty());
    sink.close().await.unwrap();
}

#[tokio::test]
async fn a_schema_is_read_through_the_sinks_file_system_once_it_is_there() {
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display();
    let text = format!(
        "hdfs.path = file://{path}/%{{h}}\nhdfs.fileType = DataStream\n\
         serializer = org.apache.flume.sink.hdfs.AvroEventSerializer$Builder\n\
         serializer.schemaURL = hdfs://nn{path}/int.avsc"
    );
    let mut sink = sink(&text, &cx);
    sink.open().await.unwrap();
    let mut batch = events("h1:a h2:b");
    batch[1]
        .headers
        .set("flume.avro.schema.literal".into(), "\"int\"".into());
    let rejected = sink.deliver(&batch).await.unwrap().rejected;
    assert_eq!(
        (rejected.len(), rejected[0].index, rejected[0].cause),
        (1, 0, Cause::NotNow)
    );
    assert!(
        rejected[0].reason.contains("int.avsc"),
        "{}",
        rejected[0].reason
    );
    fs::write(dir.path().join("int.avsc"), "\"int\"").unwrap();
    assert!(
        sink.deliver(&events("h1:a h2:b"))
            .await
            .unwrap()
            .rejected
            .is_empty()
    );
    sink.close().await.unwrap();
    for header in ["h1", "h2"] {
        let file = fs::read_dir(dir.path().join(header))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        assert!(fs::read(file).unwrap().starts_with(b"Obj\x01"), "{header}");
    }
}
