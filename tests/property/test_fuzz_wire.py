"""What other services hand over, under hostile bytes: the laws of the fuzz targets."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import seeds
from tests.fuzz.wire import fuzz_doorbell, fuzz_envelope, fuzz_lambda_event
from tests.support.hostile_bytes import changed, events, fields, odd_values

quickly = settings(max_examples=80, deadline=None)  # a busy machine is no fault of the code

# Sound values stand more than once, so that one odd one meets sound neighbours.
_KINESIS: dict[str, tuple[str | float, ...]] = {
    "sequenceNumber": ("7", "8", "-7", "1_0", "\u0663"),
    "approximateArrivalTimestamp": (1360324800.5, 0, 1e300),
    "partitionKey": ("k", ""),
    "data": ("aGk=", "", "\u00e9"),
}
_RECORD = fields(_KINESIS, ["partitionKey", "encryptionType"]).map(
    lambda kinesis: b'{"eventID":"s:1","kinesis":%b}' % kinesis
)
_RECORDS = st.lists(_RECORD, min_size=1, max_size=2).map(
    lambda records: b'{"Records":[%b]}' % b",".join(records)
)
_ODD_RECORDS = odd_values().map(lambda value: b'{"Records":%b}' % value)


@quickly
@given(events() | changed(seeds.envelopes()))
def test_any_envelope_is_refused_in_a_sentence_or_put_as_one_part(data: bytes) -> None:
    fuzz_envelope(data)


@quickly
@given(_RECORDS | _ODD_RECORDS | changed(seeds.lambda_events()))
def test_any_invocation_is_refused_in_a_sentence_or_read_whole(data: bytes) -> None:
    fuzz_lambda_event(data)


@quickly
@given(events() | changed(seeds.doorbells()))
def test_any_message_is_a_doorbell_or_is_set_aside(data: bytes) -> None:
    fuzz_doorbell(data)
