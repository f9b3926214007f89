"""Writes an ExportLogsServiceRequest with OpenTelemetry's own classes, in protobuf and in OTLP's JSON."""
import base64, json, sys
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

text = lambda value: AnyValue(string_value=value)
pair = lambda key, value: KeyValue(key=key, value=value)
nested = AnyValue(kvlist_value=KeyValueList(values=[
    pair("list", AnyValue(array_value=ArrayValue(values=[
        AnyValue(int_value=-7), AnyValue(double_value=1.5), AnyValue(bool_value=True), AnyValue(), text('q"\n')]))),
    pair("bytes", AnyValue(bytes_value=b"\x00\xff")),
    pair("none", AnyValue(array_value=ArrayValue())),
]))
request = ExportLogsServiceRequest(resource_logs=[
    ResourceLogs(
        resource=Resource(attributes=[pair("service.name", text("shop")), pair("pod", text("p1")), pair("port", AnyValue(int_value=443))]),
        schema_url="https://example.org",
        scope_logs=[ScopeLogs(
            scope=InstrumentationScope(name="http", version="1", attributes=[pair("pod", text("p2"))]),
            log_records=[
                LogRecord(time_unix_nano=1700000000123456789, observed_time_unix_nano=1700000001000000000, severity_number=17,
                          severity_text="ERROR", body=text("it fäils"), attributes=[pair("pod", text("p3")), pair("n", nested), pair("timestamp", text("x"))],
                          dropped_attributes_count=1, flags=1, trace_id=bytes(range(16)), span_id=bytes(range(8)), event_name="fall"),
                LogRecord(observed_time_unix_nano=1700000001000000000, body=nested),
                LogRecord(body=AnyValue(bytes_value=b"\x00\xffraw")),
                LogRecord(body=AnyValue(bool_value=False)),
                LogRecord(),
            ])]),
    ResourceLogs(scope_logs=[ScopeLogs(log_records=[LogRecord(body=text("bare"))])]),
])
directory = sys.argv[1]
with open(directory + "/logs.pb", "wb") as file:
    file.write(request.SerializeToString())
document = MessageToDict(request)
# OTLP writes identifiers in hex, where protobuf's own mapping has base64.
for resource in document["resourceLogs"]:
    for scope in resource["scopeLogs"]:
        for record in scope["logRecords"]:
            record["severityNumber"] = {"SEVERITY_NUMBER_ERROR": 17}.get(record.get("severityNumber"), 0)
            for key in ("traceId", "spanId"):
                if key in record:
                    record[key] = base64.b64decode(record[key]).hex()
with open(directory + "/logs.json", "w") as file:
    json.dump(document, file, indent=1)
