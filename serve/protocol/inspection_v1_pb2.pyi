import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    PASS: _ClassVar[Verdict]
    REJECT: _ClassVar[Verdict]
    REVIEW: _ClassVar[Verdict]
VERDICT_UNSPECIFIED: Verdict
PASS: Verdict
REJECT: Verdict
REVIEW: Verdict

class Frame(_message.Message):
    __slots__ = ("encoded", "raw", "frame_id", "camera", "product", "serial", "captured_at", "line")
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    encoded: bytes
    raw: RawPixels
    frame_id: str
    camera: str
    product: str
    serial: str
    captured_at: _timestamp_pb2.Timestamp
    line: str
    def __init__(self, encoded: _Optional[bytes] = ..., raw: _Optional[_Union[RawPixels, _Mapping]] = ..., frame_id: _Optional[str] = ..., camera: _Optional[str] = ..., product: _Optional[str] = ..., serial: _Optional[str] = ..., captured_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., line: _Optional[str] = ...) -> None: ...

class RawPixels(_message.Message):
    __slots__ = ("data", "shape", "dtype")
    DATA_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    shape: _containers.RepeatedScalarFieldContainer[int]
    dtype: str
    def __init__(self, data: _Optional[bytes] = ..., shape: _Optional[_Iterable[int]] = ..., dtype: _Optional[str] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("frame_id", "decision", "result", "error", "timings")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    frame_id: str
    decision: DecisionId
    result: Result
    error: Error
    timings: Timings
    def __init__(self, frame_id: _Optional[str] = ..., decision: _Optional[_Union[DecisionId, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("verdict", "score", "reasons", "class_scores", "release", "bundle", "engine")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    CLASS_SCORES_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    score: float
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    class_scores: _containers.RepeatedCompositeFieldContainer[ClassScore]
    release: str
    bundle: str
    engine: str
    def __init__(self, verdict: _Optional[_Union[Verdict, str]] = ..., score: _Optional[float] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., class_scores: _Optional[_Iterable[_Union[ClassScore, _Mapping]]] = ..., release: _Optional[str] = ..., bundle: _Optional[str] = ..., engine: _Optional[str] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("code", "name", "value", "limit", "x", "y")
    CODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    code: str
    name: str
    value: float
    limit: float
    x: float
    y: float
    def __init__(self, code: _Optional[str] = ..., name: _Optional[str] = ..., value: _Optional[float] = ..., limit: _Optional[float] = ..., x: _Optional[float] = ..., y: _Optional[float] = ...) -> None: ...

class ClassScore(_message.Message):
    __slots__ = ("name", "score")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    name: str
    score: float
    def __init__(self, name: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("status", "code", "message")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    status: int
    code: str
    message: str
    def __init__(self, status: _Optional[int] = ..., code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class DecisionId(_message.Message):
    __slots__ = ("host", "boot", "sequence")
    HOST_FIELD_NUMBER: _ClassVar[int]
    BOOT_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    host: str
    boot: str
    sequence: int
    def __init__(self, host: _Optional[str] = ..., boot: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("decode_ms", "engine_ms", "total_ms", "wait_ms")
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    decode_ms: float
    engine_ms: float
    total_ms: float
    wait_ms: float
    def __init__(self, decode_ms: _Optional[float] = ..., engine_ms: _Optional[float] = ..., total_ms: _Optional[float] = ..., wait_ms: _Optional[float] = ...) -> None: ...

class ServerInfoRequest(_message.Message):
    __slots__ = ("line",)
    LINE_FIELD_NUMBER: _ClassVar[int]
    line: str
    def __init__(self, line: _Optional[str] = ...) -> None: ...

class ServerInfo(_message.Message):
    __slots__ = ("line", "version", "host", "boot", "release", "bundle", "engine", "engine_build", "live_since", "fault", "workers", "channels", "height_px", "width_px", "classes", "spool", "lines", "canaries", "shadow")
    LINE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    BOOT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_BUILD_FIELD_NUMBER: _ClassVar[int]
    LIVE_SINCE_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    SPOOL_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    CANARIES_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    line: str
    version: str
    host: str
    boot: str
    release: str
    bundle: str
    engine: str
    engine_build: str
    live_since: _timestamp_pb2.Timestamp
    fault: str
    workers: int
    channels: int
    height_px: int
    width_px: int
    classes: _containers.RepeatedScalarFieldContainer[str]
    spool: SpoolInfo
    lines: _containers.RepeatedScalarFieldContainer[str]
    canaries: _containers.RepeatedScalarFieldContainer[str]
    shadow: str
    def __init__(self, line: _Optional[str] = ..., version: _Optional[str] = ..., host: _Optional[str] = ..., boot: _Optional[str] = ..., release: _Optional[str] = ..., bundle: _Optional[str] = ..., engine: _Optional[str] = ..., engine_build: _Optional[str] = ..., live_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fault: _Optional[str] = ..., workers: _Optional[int] = ..., channels: _Optional[int] = ..., height_px: _Optional[int] = ..., width_px: _Optional[int] = ..., classes: _Optional[_Iterable[str]] = ..., spool: _Optional[_Union[SpoolInfo, _Mapping]] = ..., lines: _Optional[_Iterable[str]] = ..., canaries: _Optional[_Iterable[str]] = ..., shadow: _Optional[str] = ...) -> None: ...

class SpoolInfo(_message.Message):
    __slots__ = ("next_sequence", "synced_sequence", "bytes", "dropped", "fault")
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SYNCED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    next_sequence: int
    synced_sequence: int
    bytes: int
    dropped: int
    fault: str
    def __init__(self, next_sequence: _Optional[int] = ..., synced_sequence: _Optional[int] = ..., bytes: _Optional[int] = ..., dropped: _Optional[int] = ..., fault: _Optional[str] = ...) -> None: ...
