"""``mmalign play``: what its page is answered, and who is turned away."""

import asyncio
import csv
import io
import os
import signal
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import call, refused
from playing import FOLDER, laid_with_pictures, served, table, tiny  # noqa: F401
from rich.console import Console
from test_pictures import png
from vision import made_folder, made_picture

import mmalign
from mmalign import MmalignError
from mmalign.play import serving
from mmalign.play import table as table_module
from mmalign.play.desk import Desk
from mmalign.play.laying import laid
from mmalign.play.limits import Limits, RefusedError
from mmalign.play.newcomers import Written, as_csv
from mmalign.play.serving import has_screen
from mmalign.play.table import Job
from mmalign.plugins import discover
from mmalign.recipe import assemble, read
from mmalign.run import run

NEW = "unseen 001"


def encoded(number=0, kind="PNG", **options):
    made = io.BytesIO()
    made_picture(number).save(made, kind, **options)
    return made.getvalue()


LIMITS = Limits(upload=2**16, form=2**12, name=20, text=50, added=2)


@pytest.fixture
def page(table):
    with served(table, LIMITS) as made:
        yield made


@pytest.fixture(scope="module")
def still(tiny):
    """A page that is asked for nothing but what changes nothing."""
    with (
        pytest.MonkeyPatch.context() as patch,
        served(laid_with_pictures(tiny, patch), LIMITS) as it,
    ):
        yield it


def stranger(page, name=NEW):
    return page.get(f"/api/stranger?name={name.replace(' ', '%20')}")


def row_of(table, name):
    return table.samples.truths.index(name)


def test_the_page_and_what_it_needs_come_from_here_with_safe_headers(still):
    for path, kind in (("", "text/html"), ("play.js", "text/javascript"), ("play.css", "text/css")):
        status, content, headers = still.call("GET", f"/{path}")
        assert status == 200
        assert headers.get_content_type() == kind
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert b"//" not in content.replace(b"// ", b"").replace(b"http://www.w3.org/2000/svg", b"")
    for path in ("/docs", "/openapi.json", "/play.py", "/../server.py", "/static/play.js"):
        status, told, headers = still.call("GET", path)
        assert (status, list(told)) == (404, ["error"])
        assert "content-security-policy" in headers


def test_what_there_is(page, table):
    told = page.get("/api/state")
    assert (told["seen"], told["unseen"], told["described"]) == (12, 0, ["attributes"])
    assert told["calibrated"]
    assert not told["no_pictures"]
    assert not told["takes_text"]
    assert told["takes_numbers"] == [{"name": "attributes", "dim": 6}]
    assert told["strangers"] == ["unseen 000", "unseen 001", "unseen 002"]
    assert told["samples"]["kind"] == "rows"
    assert told["samples"]["count"] == len(table.samples) == 81
    assert told["command"].startswith("mmalign add-classes '/")
    assert page.get("/api/samples?start=80&count=9")["names"] == [table.samples.names[80]]


def test_a_sample_is_answered_as_predict_answers_it(page, table):
    row = row_of(table, "seen 003")
    told = page.get(f"/api/samples/{row}")
    features = table.samples.rows[row]
    expected = table.base.predict(features, top=8)[0]
    assert [(each["name"], each["score"]) for each in told["best"]] == expected
    chances = table.base.probabilities(features)[0]
    names = list(table.base.known_classes)
    for each in told["best"]:
        assert each["share"] == pytest.approx(float(chances[names.index(each["name"])]))
        assert each["kind"] == "seen"
    assert told["truth"] == "seen 003"
    assert told["truth_rank"] == 1 + int((chances > chances[names.index("seen 003")]).sum())
    near = [each["cosine"] for each in told["neighbours"]]
    assert len(near) == 5
    assert near == sorted(near, reverse=True)


def test_neighbours_are_the_nearest_descriptions(table):
    described = table.source.arrays["attributes"].values
    row = {"attributes": described[[4]]}
    (best, *_) = table.witness.neighbours(row)
    assert best["name"] == table.base.classes[4]
    assert best["cosine"] == pytest.approx(1, abs=1e-5)
    latents = table.base.class_latents()
    np.testing.assert_allclose(latents, table.base.embed({"attributes": described[:12]}), atol=1e-5)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_goes_through_the_backbone(kind, still):
    status, told, _ = still.call("POST", "/api/ask?name=a.png", encoded(1, kind))
    assert status == 200
    assert len(told["best"]) == 8
    assert told["truth"] is None


def test_a_class_is_added_recognised_and_removed(page, table, tiny):
    before = {path: path.read_bytes() for path in (tiny / "model").iterdir()}
    row = row_of(table, NEW)
    first = page.get(f"/api/samples/{row}")
    assert first["truth_rank"] is None
    assert not first["truth_known"]
    assert page.call("GET", "/api/classes.csv")[0] == 404

    done = page.change("POST", "/api/classes", stranger(page))
    assert not done["error"]
    told = page.get(f"/api/samples/{row}")
    assert (told["best"][0]["name"], told["best"][0]["kind"]) == (NEW, "new")
    assert told["truth_rank"] == 1
    state = page.get("/api/state")
    assert [each["name"] for each in state["added"]] == [NEW]
    assert NEW not in state["strangers"]
    seen = page.get(f"/api/samples/{row_of(table, 'seen 000')}")
    assert NEW in [each["name"] for each in [*seen["best"], *seen["besides"]]]

    # Among new classes alone there is one answer, and no probability.
    only = page.get(f"/api/samples/{row}?among=new")
    assert [each["name"] for each in only["best"]] == [NEW]
    assert not only["calibrated"]
    assert only["best"][0]["share"] == 1
    assert "has no words for them" in only["notes"][1]
    assert "no probabilities" in only["notes"][0]

    assert not page.change("DELETE", "/api/classes?name=unseen%20001")["error"]
    assert page.get(f"/api/samples/{row}")["best"] == first["best"]
    assert page.get("/api/state")["added"] == []
    assert {path: path.read_bytes() for path in (tiny / "model").iterdir()} == before


def test_the_file_and_the_command_make_the_same_model(page, table, tmp_path):
    page.change("POST", "/api/classes", stranger(page))
    page.change("POST", "/api/classes", stranger(page, "unseen 002"))
    status, content, headers = page.call("GET", "/api/classes.csv")
    assert status == 200
    assert headers["content-disposition"] == 'attachment; filename="new-classes.csv"'
    (tmp_path / "new-classes.csv").write_bytes(content)
    done = call("add-classes", table.path, "new-classes.csv", "bigger-model", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    row = table.samples.rows[0]
    kept = mmalign.load(tmp_path / "bigger-model")
    np.testing.assert_allclose(kept.scores(row), table.model.scores(row), atol=1e-5)


def test_texts_and_numbers_stand_in_one_file():
    some = [Written("a, b", 'says "x"'), Written("c", numbers=(0.5, -1.25))]
    lines = list(csv.reader(io.StringIO(as_csv(some))))
    assert lines == [
        ["class", "description", "number 0", "number 1"],
        ["a, b", 'says "x"', "", ""],
        ["c", "", "0.5", "-1.25"],
    ]
    assert as_csv([Written("a")]) == "class\na\n"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example:8008"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:1"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"host": "localhost:9000"}, 200),  # as through a tunnel
        ({"host": "localhost:9000", "origin": "http://localhost:9000"}, 200),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
    ],
)
def test_other_pages_and_names_are_turned_away(headers, status, still):
    got, told, answered = still.call("GET", "/api/state", **headers)
    assert got == status
    if status == 403:
        assert list(told) == ["error"]
        assert "content-security-policy" in answered
        assert still.call("POST", "/api/ask", encoded(), **headers)[0] == 403


def test_a_link_from_elsewhere_opens_the_page_alone(still):
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert still.call("GET", "/", **link)[0] == 200
    assert still.call("GET", "/api/state", **link)[0] == 403
    assert still.call("POST", "/", b"", **link)[0] == 403


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 400, "no whole picture"),
        (b"hello, I am a text\n", 400, "notes.txt: no whole picture: cannot identify image file"),
        (encoded()[:200], 400, "no whole picture"),
        (png(60_000, 60_000), 400, "decompression bomb"),
        (png(10_000, 2), 400, "sides of over 1 to 200"),
        (encoded() + b"0" * 2**16, 413, "notes.txt is larger than 64 KiB; make it smaller"),
        (b"0" * 2**19, 413, "notes.txt is larger than 64 KiB; make it smaller"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(content, status, said, still):
    got, told, _ = still.call("POST", "/api/ask?name=notes.txt", content)
    assert got == status
    assert said in told["error"]
    assert "\n" not in told["error"]
    assert "BytesIO" not in told["error"]


def test_size_is_counted_whatever_the_header_says(still):
    """Sent in chunks, without a length."""

    def chunks():
        for _ in range(40):
            yield b"0" * 2**11

    status, told, _ = still.call("POST", "/api/ask", chunks())
    assert status == 413, told


FORM = {"name": "x", "text": "", "numbers": [0.0] * 6}


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (b"no json", "Invalid JSON"),
        ({**FORM, "name": 3}, "name: Input should be a valid string"),
        ({**FORM, "more": 1}, "more: Extra inputs"),
        ({**FORM, "numbers": ["1"]}, "numbers.0: Input should be a valid number"),
        (b'{"name": "x", "numbers": [NaN]}', "numbers.0: "),
        ({**FORM, "name": "  "}, "the class has no name"),
        ({**FORM, "name": "x" * 21}, "the name has 21 letters; 20 are the most"),
        ({**FORM, "name": "a\0b"}, "letters that cannot be shown"),
        ({**FORM, "text": "x" * 51}, "the description has 51 letters; 50 are the most"),
    ],
)
def test_a_form_that_is_wrong_is_refused(form, said, still):
    status, told, _ = still.call("POST", "/api/classes", form)
    assert status == 400
    assert said in told["error"]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({**FORM, "name": "seen 000"}, "the model knows the class 'seen 000' already"),
        ({**FORM, "numbers": [1.0]}, "1 columns of numbers; the model takes 6 of 'attributes'"),
        ({**FORM, "numbers": []}, "'x' has no description yet: nothing in it describes"),
        ({**FORM, "numbers": [], "text": "a red bird"}, "nothing in it describes classes"),
    ],
)
def test_a_class_that_cannot_be_added_leaves_all_as_it_was(form, said, page, table):
    done = page.change("POST", "/api/classes", form)
    assert said in done["error"]
    assert "/tmp" not in done["error"]
    assert table.model is table.base
    assert page.call("GET", "/api/state")[0] == 200


def test_no_more_classes_than_the_limit_and_none_twice(page):
    page.change("POST", "/api/classes", {**FORM, "name": "one"})
    assert (
        "already; remove it"
        in page.change("POST", "/api/classes", {**FORM, "name": "one"})["error"]
    )
    page.change("POST", "/api/classes", {**FORM, "name": "two"})
    status, told, _ = page.call("POST", "/api/classes", {**FORM, "name": "three"})
    assert status == 409
    assert "2 classes were added, the most" in told["error"]
    big = {**FORM, "numbers": [0.123456789] * 500}
    assert page.call("POST", "/api/classes", big)[0] == 413


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/api/samples/81", 400, "there are samples 0 to 80"),
        ("GET", "/api/samples/-1", 400, "there are samples 0 to 80"),
        ("GET", "/api/samples/x", 400, "number"),
        ("GET", "/api/samples/0?among=some", 400, "among"),
        ("GET", "/api/samples/0?among=new", 400, "no new class to choose from"),
        ("GET", "/api/samples/0/picture", 404, "a row of numbers"),
        ("DELETE", "/api/classes?name=gull", 400, "'gull' is not among the new classes"),
        ("DELETE", "/api/classes?name=seen%20000", 400, "is not among the new classes"),
        ("GET", "/api/stranger?name=gull", 400, "has no class 'gull'"),
        ("GET", "/api/ask", 405, "there is no GET /api/ask here"),
    ],
)
def test_what_is_not_there_is_said(method, path, status, said, still):
    got, told, _ = still.call(method, path)
    assert got == status
    assert said in told["error"]


def test_what_takes_too_long_is_given_up_and_others_are_sent_away(table, monkeypatch):
    going = threading.Event()
    answer = table.ask_sample

    def slowly(*given):
        going.wait(20)
        return answer(*given)

    monkeypatch.setattr(table, "ask_sample", slowly)
    with served(table, Limits(seconds=0.1, wait=0.1)) as page:
        status, told, _ = page.call("GET", "/api/samples/0")
        assert (status, "more than 0.1 s" in told["error"]) == (504, True)
        status, told, _ = page.call("GET", "/api/samples/1")
        assert (status, "waiting for 0.1 s" in told["error"]) == (503, True)
        assert page.call("GET", "/api/state")[0] == 200  # the page itself goes on
        going.set()
        until = time.monotonic() + 10
        while page.call("GET", "/api/samples/0")[0] != 200:
            assert time.monotonic() < until


def test_while_classes_change_nothing_else_is_computed(table, monkeypatch):
    going = threading.Event()
    grown = table_module.grown
    monkeypatch.setattr(table_module, "grown", lambda *given: (going.wait(20), grown(*given))[1])
    with served(table) as page:
        form = {**FORM, "name": "one"}
        assert page.call("POST", "/api/classes", form)[0] == 202
        for method, path in (("GET", "/api/samples/0"), ("POST", "/api/classes")):
            status, told, _ = page.call(method, path, form if method == "POST" else None)
            assert status == (409 if method == "POST" else 503)
            assert "adding 'one' is not over yet" in told["error"]
        going.set()
        while not page.get("/api/job")["over"]:
            pass
        assert page.call("GET", "/api/samples/0")[0] == 200


def test_adding_for_too_long_is_ended_between_two_epochs(table):
    job = Job("adding 'x'", most=0.0)
    with pytest.raises(MmalignError, match="adding 'x' has taken more than 0 s and was ended"):
        table.add(Written("x", numbers=(0.0,) * 6), job)
    assert table.model is table.base


def test_an_upload_that_does_not_come_is_given_up(table):
    with (
        served(table, Limits(seconds=0.1)) as page,
        socket.create_connection(("127.0.0.1", page.port), timeout=10) as stalled,
    ):
        head = (
            f"POST /api/ask HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nContent-Length: 99\r\n\r\n"
        )
        stalled.sendall(head.encode() + b"some")
        assert b" 408 " in stalled.recv(999).split(b"\r\n")[0]


def test_several_at_once_are_all_answered(still):
    answers = []
    asking = [
        threading.Thread(
            target=lambda n=n: answers.append(still.call("GET", f"/api/samples/{n}")[0])
        )
        for n in range(8)
    ]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert answers == [200] * 8


def test_a_mistake_of_ours_is_one_sentence_too(table, monkeypatch, caplog):
    def broken(*_):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(table, "ask_sample", broken)
    monkeypatch.setattr(table_module, "grown", broken)
    with served(table) as page:
        status, told, headers = page.call("GET", "/api/samples/0")
        done = page.change("POST", "/api/classes", FORM)
    assert status == 500
    for error in (told["error"], done["error"]):
        assert "ZeroDivisionError: oh; the terminal has more" in error
    assert table.model is table.base
    assert "content-security-policy" in headers


def test_a_desk_passes_on_what_was_raised():
    async def ask():
        desk = Desk(wait=1)
        with pytest.raises(TimeoutError, match="its own"):
            await desk.do(lambda: (_ for _ in ()).throw(TimeoutError("its own")), 5)
        assert await desk.do(lambda: 3, 5) == 3
        waiting = Desk(wait=0.01)
        await waiting._lock.acquire()
        with pytest.raises(RefusedError):
            await waiting.do(lambda: 3)

    asyncio.run(ask())


def test_a_folder_of_pictures_is_shown_and_asked(tiny, tmp_path, monkeypatch):
    made_folder(tmp_path / "some", ["b.png", "a/a.png"])
    (tmp_path / "some" / "c.png").write_bytes(b"none")
    shown = laid_with_pictures(tiny, monkeypatch, str(tmp_path / "some"))
    with served(shown) as page:
        assert page.get("/api/samples")["names"] == ["a/a.png", "b.png", "c.png"]
        status, content, headers = page.call("GET", "/api/samples/0/picture")
        assert (status, headers["content-type"], content[:4]) == (200, "image/png", b"\x89PNG")
        told = page.get("/api/samples/1")
        assert (told["name"], told["truth"]) == ("b.png", None)
        for path in ("/api/samples/2", "/api/samples/2/picture"):
            status, told, _ = page.call("GET", path)
            assert (status, "no whole picture" in told["error"]) == (400, True)


def test_rows_of_a_file_are_asked_and_wrong_ones_refused_at_once(tiny, tmp_path):
    model = mmalign.load(tiny)
    rows = np.random.default_rng(0).random((3, 12)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    made = laid(model, "m", [f"image={tmp_path / 'rows.npy'}"])
    assert (len(made.samples), made.samples.kind) == (3, "rows")
    told = made.ask_sample(2)
    assert (told["name"], told["truth"]) == ("row 2", None)
    assert told["best"][0]["name"] == model.predict(rows[2:])[0][0][0]
    np.save(tmp_path / "wide.npy", rows[:, :5])
    for path, said in (
        ("wide.npy", "5 numbers a row, but the model was trained on 12"),
        ("none.npy", "none.npy"),
    ):
        with pytest.raises(MmalignError, match=said):
            laid(model, "m", [str(tmp_path / path)])


def test_what_a_model_lacks_is_said(tiny, tmp_path):
    model = mmalign.load(tiny)
    elsewhere = {**model.config["recipe"], "dataset": {"use": "folder", "root": str(tmp_path)}}
    model = replace(model, config={**model.config, "recipe": elsewhere})
    object.__setattr__(model.fitted, "temperature", None)
    object.__setattr__(model.fitted, "statistics", None)
    made = laid(model, "m", ())
    told = made.told()
    assert "This model takes no pictures" in told["no_pictures"]
    assert "mmalign play m --samples features.npy" in told["no_pictures"]
    assert "data set is not at hand" in told["samples"]["about"]
    assert told["samples"]["kind"] == "none"
    answer = made.witness.answer({"image": np.zeros((1, 12), np.float32)})
    assert not answer["calibrated"]
    assert answer["best"][0]["share"] == 1  # of the way from the lowest score to the highest
    said = " ".join(answer["notes"])
    for part in ("no probabilities", "not their words", "keeps no latents"):
        assert part in said
    with pytest.raises(MmalignError, match="takes no pictures"):
        made.ask_picture(encoded(), "a.png")


def test_a_system_without_a_latent_space_answers_too(tmp_path):
    recipe = read("synthetic", discover(), ["dataset.samples=6", "run.seeds=1"])
    text = {**recipe.table, "method": {"use": "eszsl"}}
    for each in ("head", "loss"):
        text.pop(each, None)
    made = run(assemble("s", text, discover()), discover(), Console(quiet=True), tmp_path)
    shown = laid(mmalign.load(made.folder), "m", ())
    told = shown.ask_sample(0)
    assert told["neighbours"] == []
    assert any("'eszsl' has no latent space" in note for note in told["notes"])
    job = Job("adding", 60)
    shown.add(Written("more", numbers=(0.5,) * 24), job)
    assert shown.witness.about("more")["kind"] == "new"


# ---- the command ----


def test_the_command_serves_until_ctrl_c(tiny, monkeypatch):
    """Ctrl-C is how a person ends it: nothing is wrong then."""
    seen = []
    monkeypatch.setattr("mmalign.play.serving.has_screen", lambda: True)

    def opened(url):
        seen.append(url)
        with socket.create_connection(("127.0.0.1", int(url.split(":")[2][:-1])), timeout=10) as to:
            to.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            seen.append(to.recv(99)[:15])
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("webbrowser.open", opened)
    done = call("play", FOLDER, cwd=tiny.parent)
    assert done.returncode == 0, done.stderr
    assert seen[1] == b"HTTP/1.1 200 OK"
    assert done.stdout.startswith(f"{seen[0]} asks {FOLDER} about pictures; Ctrl-C ends it\n")
    assert not done.stderr


def test_without_a_screen_no_browser_is_opened(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_screen()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_screen()


def test_a_busy_port_a_missing_model_and_a_missing_extra(tiny, tmp_path, monkeypatch):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        said = refused("play", FOLDER, "--port", busy.getsockname()[1], cwd=tiny.parent)
    assert "in use; leave out --port" in said
    assert "no model at" in refused("play", "nowhere", cwd=tmp_path)
    assert "none.npy" in refused("play", FOLDER, "--samples", "none.npy", cwd=tiny.parent)
    monkeypatch.setattr("mmalign.extras.find_spec", lambda name: None)
    said = refused("play", FOLDER, cwd=tiny.parent)
    assert "fastapi and uvicorn: not installed; this needs the extra 'play'" in said
    assert said.count("\n") == 1


def test_the_next_free_port_is_taken(monkeypatch):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        monkeypatch.setattr(serving, "PORT", port)
        with serving.listening(None) as made:
            assert made.getsockname()[0] == "127.0.0.1"
            assert port < made.getsockname()[1] < port + serving.TRIED
        monkeypatch.setattr(serving, "TRIED", 1)
        with pytest.raises(MmalignError, match="are taken; name a free one"):
            serving.listening(None)


def test_what_the_page_is_made_of_is_in_the_package():
    import mmalign.play

    there = {path.name for path in (Path(mmalign.play.__file__).parent / "static").iterdir()}
    assert there == {"index.html", "play.css", "play.js", "icon.svg"}
