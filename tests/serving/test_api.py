"""What the API answers, from a real server on loopback."""

from __future__ import annotations

import json
import time
from io import BytesIO
from pathlib import Path

import httpx
import openpyxl
import pytest

from classifier import SuggestionClassifier
from serve.schemas import TableOut
from tests.conftest import ROOT
from tests.serving.conftest import Server

EXAMPLE = ROOT / "examples" / "建议.xlsx"
TEXTS = [
    "三路公交车等了四十分钟不来",
    "老年卡在哪儿办",
    "",
    "asdf qwer",
    "小区门口的路灯坏了半个月",
]


def test_the_same_as_the_library(server: Server, clf: SuggestionClassifier) -> None:
    wanted = [p.to_dict() for p in clf.predict(TEXTS)]
    with server.client() as client:
        many = client.post("/v1/classify/batch", json={"texts": TEXTS}).json()["predictions"]
        one_by_one = [client.post("/v1/classify", json={"text": t}).json() for t in TEXTS]
    assert many == one_by_one
    for found, expected in zip(many, wanted, strict=True):
        assert found.pop("personal") == []
        assert found == json.loads(json.dumps(expected))


def test_title_evidence_and_personal_data(server: Server, clf: SuggestionClassifier) -> None:
    text = "家里老人走路不便，我的电话是13812345678，盼望加装电梯"
    with server.client() as client:
        body = {"title": "加装电梯", "text": text}
        found = client.post("/v1/classify", json=body).json()
    wanted = clf.predict([f"加装电梯。{text}"])[0]
    assert (found["primary"], tuple(found["evidence"])) == (wanted.primary, wanted.evidence)
    [personal] = found["personal"]
    assert personal["name"] == "手机号"
    assert text[personal["start"] : personal["end"]] == "13812345678"


@pytest.mark.parametrize("text", ["a\\u0000路灯坏了", "\\ud83d路灯坏了", "路灯坏了\\udc00"])
def test_no_text_is_refused_and_said_where(server: Server, text: str) -> None:
    bodies = {
        "/v1/classify": (f'{{"text": "{text}"}}', "text（有空字符"),
        "/v1/classify/batch": (f'{{"texts": ["好", "{text}"]}}', "texts.1（有空字符"),
    }
    with server.client() as client:
        for path, (body, told) in bodies.items():
            done = client.post(path, content=body, headers={"content-type": "application/json"})
            assert done.status_code == 422
            assert told in done.json()["detail"]


def test_strange_text_is_still_text(server: Server) -> None:
    with server.client() as client:
        done = client.post("/v1/classify", json={"text": "😀\n\t\x1b路灯坏了"})
    assert done.status_code == 200
    assert done.json()["primary"]


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "/v1/classify", b'{"text": ', 400),
        ("POST", "/v1/classify", b"[" * 1_000_000, 400),
        ("POST", "/v1/classify", b'{"text": 1}', 422),
        ("POST", "/v1/classify", b'{"text": "a", "more": 1}', 422),
        ("POST", "/v1/classify", json.dumps({"text": "字" * 5001}).encode(), 422),
        ("POST", "/v1/classify", b"\xff\xfe", 400),
        ("POST", "/v1/classify", b"x" * 2_000_001, 413),
        ("POST", "/v1/classify/batch", json.dumps({"texts": ["a"] * 257}).encode(), 422),
        ("POST", "/v1/classify/batch", b'{"texts": []}', 422),
        ("POST", "/v1/classify", b"", 400),
        ("POST", "/v1/files", b'{"file": 1}', 415),
        ("PUT", "/v1/classify", b"", 405),
        ("GET", "/v1/nothing", b"", 404),
        ("GET", "/v1/files/..%2F..%2Fetc", b"", 404),
        ("GET", "/v1/files/abc/table", b"", 404),
        ("DELETE", "/v1/files/abc", b"", 404),
    ],
)
def test_errors_are_problem_details(
    server: Server, method: str, path: str, content: bytes, status: int
) -> None:
    with server.client() as client:
        done = client.request(
            method, path, content=content, headers={"content-type": "application/json"}
        )
    assert done.status_code == status
    assert done.headers["content-type"] == "application/problem+json"
    assert done.json()["status"] == status
    assert any("\u4e00" <= c <= "\u9fff" for c in done.json()["detail"])


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_type_of_content_is_415(server: Server, kind: str) -> None:
    with server.client() as client:
        headers = {"content-type": kind} if kind else {}
        done = client.post("/v1/classify", content=b'{"text": "a"}', headers=headers)
    assert (done.status_code, done.json()["title"]) == (415, "类型不对")


def test_every_problem_names_its_request(server: Server) -> None:
    with server.client() as client:
        chunked = client.post(
            "/v1/classify", content=iter([b"x" * 2_000_001]),
            headers={"content-type": "application/json"},
        )  # fmt: skip
        for status, done in ((413, chunked), (404, client.get("/v1/nothing"))):
            assert done.status_code == status
            number = done.headers["x-request-id"]
            assert done.json()["instance"].replace("-", "") == f"urn:uuid:{number}"


@pytest.mark.parametrize("path", ["/", "/files", "/healthz", "/readyz", "/v1/taxonomy"])
def test_what_can_be_got_can_be_asked_about(server: Server, path: str) -> None:
    with server.client() as client:
        done, got = client.head(path), client.get(path)
    assert (done.status_code, done.content) == (200, b"")
    assert done.headers["content-length"] == got.headers["content-length"]


def test_a_body_without_end_is_refused(server: Server) -> None:
    def endless() -> object:
        while True:
            yield b"x" * 65536

    with server.client() as client:
        try:
            done = client.post("/v1/classify", content=endless())  # type: ignore[arg-type]
            assert done.status_code == 413
        except httpx.TransportError:
            pass  # closed while we were still sending
        assert client.get("/readyz").status_code == 200


def test_taxonomy_and_model(server: Server, clf: SuggestionClassifier) -> None:
    with server.client() as client:
        taxonomy, model = client.get("/v1/taxonomy").json(), client.get("/v1/model").json()
    assert [c["id"] for c in taxonomy["classes"]] == clf.taxonomy.ids
    assert model["id"] == clf.model_id
    assert model["threshold"] == clf.threshold
    assert "<h1>" in model["card_html"]


def test_the_demonstration_form_has_somewhere_to_go(server: Server) -> None:
    with server.client() as client:
        assert 'action="thanks"' in client.get("/").text
        sent = client.post("/thanks", data={"text": "路灯坏了", "weilei_lane": "review"})
    assert sent.status_code == 200
    assert "<h1>" in sent.text


def test_openapi_is_chinese_and_whole(server: Server) -> None:
    with server.client() as client:
        schema = client.get("/v1/openapi.json").json()
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert any("\u4e00" <= c <= "\u9fff" for c in operation["summary"]), path
            for response in operation["responses"].values():
                assert any("\u4e00" <= c <= "\u9fff" for c in response["description"]), path
                for kind, content in response.get("content", {}).items():
                    assert kind != "application/json" or content["schema"], path
    assert "ProblemOut" in schema["components"]["schemas"]


def finished(client: httpx.Client, number: str) -> dict[str, object]:
    for _ in range(600):
        state: dict[str, object] = client.get(f"/v1/files/{number}").json()
        if state["state"] in ("done", "failed"):
            return state
        time.sleep(0.1)
    raise AssertionError(state)


def test_a_table_goes_through(server: Server, clf: SuggestionClassifier) -> None:
    with server.client() as client:
        sent = client.post(
            "/v1/files", files={"file": ("建议.xlsx", EXAMPLE.read_bytes())},
            data={"max_error": "0.05", "mask": "true"},
        )  # fmt: skip
        assert sent.status_code == 202
        TableOut.model_validate(sent.json())
        place = sent.headers["location"]
        with client.stream("GET", f"{place}/events") as stream:
            events = [line[7:] for line in stream.iter_lines() if line.startswith("event: ")]
        assert events[-1] == "done"
        assert set(events[:-1]) <= {"progress"}
        state = client.get(place).json()
        TableOut.model_validate(state)
        got = client.get(f"{place}/table")
        assert client.delete(place).status_code == 204
        assert client.get(place).status_code == 404
    rows = list(openpyxl.load_workbook(BytesIO(got.content)).worksheets[0].values)
    before = list(openpyxl.load_workbook(EXAMPLE).worksheets[0].values)
    assert len(rows) == len(before)
    assert state["rows"] == len(before) - 1 == state["lanes"]["auto"] + state["lanes"]["review"]
    assert sum(c["auto"] + c["review"] for c in state["classes"].values()) == state["rows"]
    assert all(row["text"] for row in state["review"])


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [("a.exe", b"MZ", 422), ("空.csv", b"", 202), ("坏.xlsx", b"PK\x03\x04not", 202)],
)
def test_a_table_that_cannot_be_read(
    server: Server, name: str, content: bytes, status: int
) -> None:
    with server.client() as client:
        sent = client.post("/v1/files", files={"file": (name, content)})
        assert sent.status_code == status
        if status == 202:
            state = finished(client, sent.json()["id"])
            assert state["state"] == "failed"
            detail = state["error"]["detail"]  # type: ignore[index]
            assert "/tmp" not in detail
            assert any("\u4e00" <= c <= "\u9fff" for c in detail)


@pytest.mark.parametrize(
    ("query", "data", "copies", "said"),
    [
        ("", {"masks": "1"}, 1, "能用的只有 file、text、max_error、mask"),
        ("?mask=1", {}, 1, "地址里不能带参数"),
        ("", {"mask": ["1", "0"]}, 1, "mask 只能有一个"),
        ("", {}, 2, "file 只能有一个"),
    ],
)
def test_an_upload_with_what_would_be_ignored(
    server: Server, query: str, data: dict[str, object], copies: int, said: str
) -> None:
    table = ("file", ("表.csv", "内容\n路灯坏了\n".encode()))
    with server.client() as client:
        sent = client.post(f"/v1/files{query}", data=data, files=[table] * copies)
    assert sent.status_code == 422
    assert said in sent.json()["detail"]


def test_a_large_table_may_come_with_a_slash(server: Server) -> None:
    with server.client(follow_redirects=True) as client:
        table = "内容\n" + "路" * 1_000_000 + "\n"
        sent = client.post("/v1/files/", files={"file": ("表.csv", table.encode())})
        assert sent.status_code == 202
        assert client.delete(sent.headers["location"]).status_code == 204


def test_no_text_and_no_personal_data_in_log_metrics_or_errors(
    server: Server, tmp_path: Path
) -> None:
    canary = "13987654321"
    secret = f"金丝雀{canary}的路灯坏了"
    table = tmp_path / f"{canary}.csv"
    table.write_text(f"内容\n{secret}\n", encoding="utf-8")
    with server.client() as client:
        answers = [
            client.post("/v1/classify", json={"text": secret}),
            client.post("/v1/classify", json={"text": [secret]}),
            client.post("/v1/classify", json={secret: secret}),
            client.post("/v1/classify", content=secret.encode() + b"{"),
            client.post("/v1/classify/batch", json={"texts": [secret, 5]}),
            client.get(f"/v1/{secret}"),
            client.get("/v1/taxonomy", params={"q": secret}),
            client.get(f"/v1/files/{canary}"),
            client.post("/v1/files", files={"file": (f"{secret}.exe", b"")}),
            client.post("/v1/files", files={"file": (secret, b"")}, data={"max_error": secret}),
        ]
        sent = client.post("/v1/files", files={"file": (table.name, table.read_bytes())})
        finished(client, sent.json()["id"])
        # A number where Excel expects a date: openpyxl warns of it, and quotes it.
        book = openpyxl.Workbook()
        book.active.append(["内容", "日期"])
        book.active.append(["路灯坏了", int(canary)])
        book.active["B2"].number_format = "yyyy-mm-dd"
        book.save(tmp_path / "日期.xlsx")
        dated = client.post("/v1/files", files={"file": (tmp_path / "日期.xlsx").open("rb")})
        assert finished(client, dated.json()["id"])["state"] == "done"
        # A table without header: its columns are called what a citizen wrote.
        for column in ({}, {"text": f"电话{canary}"}):
            headless = client.post(
                "/v1/files", files={"file": ("a.csv", f"张三,{canary}\n".encode())}, data=column
            )
            detail = finished(client, headless.json()["id"])["error"]["detail"]  # type: ignore[index]
            assert canary not in detail
            assert "--" not in detail
        broken = {"content-type": "multipart/form-data; boundary=x"}
        answers.append(client.post("/v1/files", content=f"--x{canary}", headers=broken))
        metrics = client.get("/metrics").text
    for answer in answers[1:]:
        assert canary not in answer.text, answer.request.url
    assert canary not in metrics
    assert "金丝雀" not in metrics
    assert canary not in server.logged()
    assert "金丝雀" not in server.logged()
    assert all(json.loads(line)["time"] for line in server.logged().splitlines())


def test_names_in_any_encoding(server: Server) -> None:
    """Some of them make half characters, which can be neither written nor sent."""
    part = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    body = part % (b"file", b'; filename="a+2AA-.csv"', "内容\n灯\n".encode())
    body += part % (b"text", b"", b"+2AA-") + b"--x--\r\n"
    kind = "multipart/form-data; boundary=x; charset=utf-7"
    with server.client() as client:
        sent = client.post("/v1/files", content=body, headers={"content-type": kind})
        assert sent.status_code == 202
        assert finished(client, sent.json()["id"])["state"] == "done"
        lines = '{"\\ud800": "灯"}\n'.encode()
        sent = client.post("/v1/files", files={"file": ("a.jsonl", lines)})
        assert "认不出" in finished(client, sent.json()["id"])["error"]["detail"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("\"=?utf-8?B?5bu66K6uLmNzdg==?=\"; filename*=utf-8''%E5%BB%BA%E8%AE%AE.csv", "建议.csv"),
        ('"=?gb18030?Q?=BD=A8=D2=E9.csv?="', "建议.csv"),
        ('"=?nothing?B?5bu66K6uLmNzdg==?=.csv"', "=?nothing?B?5bu66K6uLmNzdg==?=.csv"),
        ('"=?utf-8?B?a?=.csv"', "=?utf-8?B?a?=.csv"),
        ('"=?utf-8?Q?=2E=2E=2F=2E=2E=2Fa.csv?="', "a.csv"),
    ],
)
def test_names_as_dotnet_sends_them(server: Server, sent: str, shown: str) -> None:
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename={sent}\r\n\r\n'
    body = head.encode() + "内容\n灯\n\r\n--x--\r\n".encode()
    kind = "multipart/form-data; boundary=x"
    with server.client() as client:
        done = client.post("/v1/files", content=body, headers={"content-type": kind})
    assert (done.status_code, done.json().get("name")) == (202, shown)


@pytest.mark.parametrize(("asked", "status"), [("bytes=a-b", 400), ("bytes=999999999-", 416)])
def test_a_range_that_is_not_there_is_a_problem(server: Server, asked: str, status: int) -> None:
    with server.client() as client:
        done = client.get("/widget.js", headers={"Range": asked})
        part = client.get("/widget.js", headers={"Range": "bytes=0-9"})
    assert (done.status_code, done.json()["status"]) == (status, status)
    assert done.headers["content-type"] == "application/problem+json"
    assert ("content-range" in done.headers) == (status == 416)
    assert (part.status_code, len(part.content)) == (206, 10)


def test_a_wrong_method_is_told_all_that_are_right(server: Server) -> None:
    with server.client() as client:
        done = client.put("/v1/files/1")
    assert (done.status_code, done.headers["allow"]) == (405, "DELETE, GET")
