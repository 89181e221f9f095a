"""Damaged frames and messages against a real server: each has a verdict or an error with a name."""

from __future__ import annotations

import json
import logging
import math
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve.protocol import inspection_v1_pb2 as pb
from store.root import Store
from tests.serve.faults import FRONTS, rss_mib, running
from tests.serve.mutations import Mutation, mutate, raw_frame, seeds
from tests.serve.running import Process, code_of, promote

SEEDS = seeds()
MOST_PIXELS = 2_000_000
_NAMED = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.NOT_FOUND,
)

Ask = Callable[[bytes], str]
"""Sends the bytes of a message; gives the verdict or the error's name."""


def asker(channel: grpc.Channel) -> Ask:
    """Checks each answer, too: nothing but a verdict or a named error may come."""
    send: Callable[..., bytes] = channel.unary_unary("/inspection.v1.Inspection/Inspect")

    def ask(message: bytes) -> str:
        try:
            found = send(message, timeout=60)
        except grpc.RpcError as error:
            return _named(error)
        answer = pb.Answer.FromString(found)
        verdict = answer.result.verdict
        assert verdict in (pb.PASS, pb.REJECT, pb.REVIEW)
        assert math.isfinite(answer.result.score)
        assert 0 <= answer.result.score <= 1
        return pb.Verdict.Name(verdict)

    return ask


def _named(error: grpc.RpcError) -> str:
    assert isinstance(error, grpc.Call)
    code = code_of(error)
    assert error.code() in _NAMED, (error.code(), code, error.details())
    assert code != "internal"
    assert error.details()
    return code


@pytest.fixture(scope="module", params=FRONTS)
def process(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """A server of its own for all tests here; it must live to their end."""
    folder = tmp_path_factory.mktemp("fuzz")
    promote(Store(str(folder / "store")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISION_SERVE_MAX_PIXELS", str(MOST_PIXELS))
        patch.setenv("VISION_SERVE_KEEP_MIB", "0")  # what is kept is listed in memory
        with running(folder, front=request.param) as process:
            yield process
            assert process.child.poll() is None
            assert process.end(signal.SIGTERM) == 0
    # Decoders in C write lines of their own; what is ours is JSON.
    written = (folder / "log.jsonl").read_text(errors="replace").splitlines()
    lines = [json.loads(line) for line in written if line.startswith("{")]
    ours = [line for line in lines if line["logger"].startswith(("serve", "inspection", "store"))]
    assert [line for line in ours if line["level"] in ("error", "critical")] == []


@pytest.fixture(scope="module")
def ask(process: Process) -> Iterator[Ask]:
    with grpc.insecure_channel(process.address) as channel:
        yield asker(channel)


MUTATIONS = st.lists(
    st.builds(
        Mutation,
        st.integers(0, 7),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 10_000),
    ),
    max_size=6,
)
FUZZ = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(name=st.sampled_from(sorted(SEEDS)), mutations=MUTATIONS)
@FUZZ
def test_damaged_files_are_judged_or_refused_by_name(
    ask: Ask, name: str, mutations: list[Mutation]
) -> None:
    ask(pb.Frame(encoded=mutate(SEEDS[name], mutations)).SerializeToString())


@given(mutation=st.builds(Mutation, st.integers(0, 7), st.floats(0, 1), st.integers(0, 2**20)))
@FUZZ
def test_raw_pixels_of_any_description_are_judged_or_refused_by_name(
    ask: Ask, mutation: Mutation
) -> None:
    ask(raw_frame(mutation).SerializeToString())


@given(message=st.binary(max_size=200), mutations=MUTATIONS)
@FUZZ
def test_damaged_messages_are_judged_or_refused_by_name(
    ask: Ask, message: bytes, mutations: list[Mutation]
) -> None:
    ask(message)
    ask(damaged_message(mutations))


def damaged_message(mutations: list[Mutation]) -> bytes:
    """A whole frame's message with damaged bytes."""
    whole = pb.Frame(encoded=SEEDS["png"], frame_id="1", camera="c1", product="p", serial="s")
    whole.captured_at.seconds = 1
    return mutate(whole.SerializeToString(), mutations)


def of_chance(chance: random.Random) -> bytes:
    """The bytes of one damaged message: most are files."""
    mutations = [
        Mutation(chance.randrange(8), chance.random(), chance.randrange(2**20))
        for _ in range(chance.randrange(1, 7))
    ]
    which = chance.random()
    if which < 0.7:
        name = chance.choice(sorted(SEEDS))
        return pb.Frame(encoded=mutate(SEEDS[name], mutations)).SerializeToString()
    if which < 0.85:
        return raw_frame(mutations[0]).SerializeToString()
    return damaged_message(mutations)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_10000_damaged_payloads_end_neither_server_nor_memory(process: Process, ask: Ask) -> None:
    chance = random.Random(0)
    messages = [of_chance(chance) for _ in range(10_000)]
    with ThreadPoolExecutor(4) as pool:
        told = Counter(pool.map(ask, messages[:1000]))
        before = rss_mib(process.child.pid)
        told += Counter(pool.map(ask, messages[1000:]))
    after = rss_mib(process.child.pid)
    logging.getLogger(__name__).info("%.0f MiB, then %.0f MiB; %s", before, after, dict(told))
    assert sum(told.values()) == len(messages)
    assert told["PASS"] > 100, told  # some of the damage is harmless, or nothing was tried
    assert len(told) > 10, told
    # Two workers may each hold a frame of the most pixels, and what decoding it takes.
    assert after < before + 2 * 6 * MOST_PIXELS / 2**20 + 80
