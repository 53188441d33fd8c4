"""The pages of the server, as a clerk meets them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tests.browser.conftest import KEY, ROOT, Server, Tab

EXAMPLE = ROOT / "examples" / "建议.xlsx"
PAGES = ("", "files", "model")
SCHEMES = ("light", "dark")
PHONE = {"width": 320, "height": 640}


def table(path: Path, *texts: str) -> Path:
    book = openpyxl.Workbook()
    book.active.append(["编号", "内容"])
    for n, text in enumerate(texts, 1):
        book.active.append([n, text])
    book.save(path)
    return path


def upload(page: Any, file: Path) -> None:
    page.locator("#file").set_input_files(file)
    page.get_by_role("button", name="开始打标").click()


def finished(page: Any) -> None:
    page.get_by_role("link", name="下载打好标的表").wait_for(timeout=120_000)


def downloaded(download: Any) -> Any:
    """The first sheet of a download, which Playwright keeps under a name without suffix."""
    return openpyxl.load_workbook(io.BytesIO(download.value.path().read_bytes())).worksheets[0]


def ready(page: Any, origin: str, name: str) -> None:
    page.goto(f"{origin}/{name}")
    page.locator({"": ".weilei", "files": "#upload", "model": "#found"}[name]).wait_for()


@pytest.fixture
def page(tab: Callable[..., Tab]) -> Any:
    return tab().page


def test_a_table_goes_through(page: Any, server: Server) -> None:
    page.goto(f"{server.origin}/files")
    upload(page, EXAMPLE)
    finished(page)
    rows = openpyxl.load_workbook(EXAMPLE, read_only=True).active.max_row - 1
    assert f"{rows} 行" in page.locator("#state").inner_text()

    page.get_by_text("看数字").click()
    cells = page.locator("#classes td.n").all_inner_texts()
    assert sum(int(c.replace(",", "")) for c in cells) == rows
    drawn = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
    assert page.locator("#chart").evaluate(drawn)
    assert page.locator("#review tbody tr").count() > 0

    with page.expect_download() as download:
        page.get_by_role("link", name="下载打好标的表").click()
    assert download.value.suggested_filename == "建议-打标.xlsx"
    sheet = downloaded(download)
    assert "类别" in [c.value for c in sheet[1]]
    assert sheet.max_row - 1 == rows


def test_a_reload_finds_the_table_and_delete_takes_it_away(
    page: Any, server: Server, tmp_path: Path
) -> None:
    page.goto(f"{server.origin}/files")
    upload(page, table(tmp_path / "表.xlsx", "公交车等了四十分钟不来", "小区没有健身器材"))
    finished(page)
    number = page.url.partition("#")[2]
    page.reload()
    finished(page)
    page.get_by_role("button", name="从服务器删除").click()
    page.locator("#job").wait_for(state="hidden")
    assert "#" not in page.url
    assert page.request.get(f"{server.origin}/v1/files/{number}").status == 404
    page.goto(f"{server.origin}/files#{number}")
    page.locator("#job").wait_for(state="hidden")


def test_without_events_it_asks_instead(page: Any, server: Server, tmp_path: Path) -> None:
    page.route("**/events", lambda route: route.abort())
    page.goto(f"{server.origin}/files")
    upload(page, table(tmp_path / "表.xlsx", "公交车等了四十分钟不来"))
    finished(page)


def drop(page: Any, content: str, *names: str) -> None:
    """Drop files of one content where tables are taken."""
    dropped = page.evaluate_handle(
        "([content, names]) => { const d = new DataTransfer();"
        "for (const n of names) d.items.add(new File([content], n)); return d }",
        [content, names],
    )
    page.locator("#drop").dispatch_event("drop", {"dataTransfer": dropped})


def test_a_dropped_file_is_taken(page: Any, server: Server) -> None:
    page.goto(f"{server.origin}/files")
    drop(page, "内容\n公交车等了四十分钟不来\n", "拖.csv")
    page.get_by_role("button", name="开始打标").click()
    finished(page)
    assert page.locator("#job-name").inner_text() == "拖.csv"


def test_text_of_a_table_is_never_html(page: Any, server: Server, tmp_path: Path) -> None:
    nasty = "<img src=x onerror=alert(1)><b>粗</b>"
    page.goto(f"{server.origin}/files")
    upload(page, table(tmp_path / "<i>表.xlsx", nasty, "公交车等了四十分钟不来"))
    finished(page)
    assert page.locator("#review td").nth(1).inner_text() == nasty
    assert page.locator("#review img, #review b, #job i").count() == 0


def test_a_file_that_is_no_table_says_so(page: Any, server: Server, tmp_path: Path) -> None:
    bad = tmp_path / "坏.xlsx"
    bad.write_bytes(b"not a workbook")
    page.goto(f"{server.origin}/files")
    upload(page, bad)
    page.get_by_role("alert").wait_for()
    assert re.search("[一-龥]{4}", page.get_by_role("alert").inner_text())
    assert page.get_by_role("button", name="开始打标").is_enabled()


def test_column_promise_and_mask_reach_the_server(
    page: Any, server: Server, tmp_path: Path
) -> None:
    page.goto(f"{server.origin}/files")
    page.get_by_label("正文在哪一列").fill("没有这一列")
    upload(page, table(tmp_path / "表.xlsx", "公交车等了四十分钟不来，我的手机13812345678"))
    page.get_by_role("alert").wait_for()
    assert "没有这一列" in page.get_by_role("alert").inner_text()

    page.get_by_label("正文在哪一列").fill("内容")
    page.get_by_label("自动分办里最多错多少").select_option("5%")
    page.get_by_label("隐去").check()
    page.get_by_role("button", name="开始打标").click()
    finished(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="下载打好标的表").click()
    sheet = downloaded(download)
    assert "〔手机号〕" in str(sheet["B2"].value)


def test_tagging_with_the_keyboard_alone(page: Any, server: Server, tmp_path: Path) -> None:
    keyboard = page.keyboard
    # Interception starts with the first listener, at some time after the call: not too late here.
    page.on("filechooser", lambda chooser: None)
    page.goto(f"{server.origin}/files")
    for _ in range(5):  # brand, three pages, file
        keyboard.press("Tab")
    with page.expect_file_chooser() as chooser:
        keyboard.press("Enter")
    chooser.value.set_files(table(tmp_path / "表.xlsx", "公交车等了四十分钟不来"))
    for _ in range(4):  # column, promise, mask, start
        keyboard.press("Tab")
    keyboard.press("Enter")
    finished(page)
    keyboard.press("Tab")  # the job has the focus
    with page.expect_download():
        keyboard.press("Enter")
    keyboard.press("Tab")
    keyboard.press("Enter")
    page.locator("#job").wait_for(state="hidden")
    assert page.evaluate("document.activeElement.id") == "file"


def test_a_server_with_keys_asks_for_one(page: Any, keyed: Server, tmp_path: Path) -> None:
    page.goto(f"{keyed.origin}/files")
    upload(page, table(tmp_path / "表.xlsx", "公交车等了四十分钟不来"))
    for key, asked in (("wrong", "设了钥匙"), (KEY, "钥匙不对")):
        page.get_by_role("dialog").get_by_text(asked).wait_for()
        page.get_by_role("textbox", name="钥匙").fill(key)
        page.get_by_role("button", name="确定").click()
    finished(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="下载打好标的表").click()
    assert download.value.suggested_filename == "表-打标.xlsx"


def test_form_shows_what_would_be_sent(page: Any, server: Server) -> None:
    page.goto(server.origin)
    page.get_by_label("标题").fill("三路公交车")
    with page.expect_request("**/v1/classify") as asked:
        page.get_by_label("建议内容").fill("等了四十分钟也不来")
    assert asked.value.post_data_json == {"title": "三路公交车", "text": "等了四十分钟也不来"}
    page.locator(".weilei .status", has_text="微交通").wait_for()
    page.get_by_role("button", name="提交").click()
    sent = page.locator("#sent dd").all_inner_texts()
    assert sent == ["三路公交车", "等了四十分钟也不来", "transport", "auto"]
    assert page.url == f"{server.origin}/"


def test_model_page_shows_what_the_api_says(page: Any, server: Server) -> None:
    model, taxonomy = server.get("/v1/model"), server.get("/v1/taxonomy")
    ready(page, server.origin, "model")
    assert page.locator("#id").inner_text() == model["id"]
    figures = page.locator("#figures").inner_text()
    assert f"{model['threshold']:.3f}" in figures
    kept = [row for row in model["curve"] if row[3] <= model["max_error"]][-1]
    assert kept[0] == pytest.approx(model["threshold"])
    assert f"{kept[1] * 100:.1f}".removesuffix(".0") + "%" in figures
    names = page.locator("#classes tbody th").all_inner_texts()
    assert names == [c["name"] for c in taxonomy["classes"]]
    assert page.locator("#card table").count() > 0


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_serious(
    tab: Callable[..., Tab], server: Server, name: str, scheme: str
) -> None:
    one = tab(color_scheme=scheme)
    ready(one.page, server.origin, name)
    if name == "":
        one.page.get_by_label("建议内容").fill("三路公交车等了四十分钟不来，手机13812345678")
        one.page.locator(".weilei .status", has_text="微交通").wait_for()
        one.page.get_by_role("button", name="提交").click()
        one.page.get_by_text("接到自己的表单").click()
    if name == "files":
        upload(one.page, EXAMPLE)
        finished(one.page)
        one.page.get_by_text("看数字").click()
    assert one.problems() == []


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_a_phone(tab: Callable[..., Tab], server: Server, name: str) -> None:
    page = tab(viewport=PHONE).page
    ready(page, server.origin, name)
    if name == "files":
        upload(page, EXAMPLE)
        finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_server_that_is_down_is_said_calmly(page: Any, server: Server) -> None:
    page.goto(f"{server.origin}/files")
    page.route("**/v1/**", lambda route: route.abort())
    upload(page, EXAMPLE)
    page.get_by_role("alert").wait_for()
    assert "连不上" in page.get_by_role("alert").inner_text()


def test_a_table_is_not_lost_when_the_server_is_away(
    page: Any, server: Server, tmp_path: Path
) -> None:
    waiting = [True]

    def answer(route: Any) -> None:
        if route.request.method == "DELETE":
            route.abort()
            return
        found = route.fetch().json()
        route.fulfill(json={**found, "state": "running"} if waiting else found)

    page.route("**/events", lambda route: route.abort())
    page.route("**/v1/files/*", answer)
    page.goto(f"{server.origin}/files")
    upload(page, table(tmp_path / "表.xlsx", "公交车等了四十分钟不来"))
    page.locator("#state", has_text="正在打标").wait_for()
    page.get_by_role("button", name="从服务器删除").click()
    page.get_by_role("alert").get_by_text("连不上").wait_for()
    waiting.clear()
    finished(page)  # it goes on asking
    page.unroute_all()
    number = page.url.partition("#")[2]
    page.route("**/v1/**", lambda route: route.abort())
    page.reload()
    page.get_by_role("alert").get_by_text("连不上").wait_for()
    page.unroute_all()
    assert page.url.endswith(f"#{number}")
    page.reload()
    finished(page)


def test_two_files_at_once_are_not_one(page: Any, server: Server) -> None:
    page.goto(f"{server.origin}/files")
    drop(page, "内容", "a.csv", "b.csv")
    page.get_by_role("alert").get_by_text("一张").wait_for()
    assert page.locator("#file").evaluate("f => f.files.length") == 0


def test_a_failed_table_leaves_the_focus_on_the_file(
    page: Any, server: Server, tmp_path: Path
) -> None:
    page.goto(f"{server.origin}/files")
    page.get_by_label("正文在哪一列").fill("没有这一列")
    upload(page, table(tmp_path / "表.xlsx", "公交车等了四十分钟不来"))
    page.get_by_role("alert").get_by_text("没有这一列").wait_for()
    assert page.evaluate("document.activeElement.id") == "file"


def test_a_download_that_is_gone_is_said_on_the_page(
    page: Any, server: Server, tmp_path: Path
) -> None:
    page.goto(f"{server.origin}/files")
    upload(page, table(tmp_path / "表.xlsx", "公交车等了四十分钟不来"))
    finished(page)
    address = page.url
    page.request.delete(f"{server.origin}/v1/files/{address.partition('#')[2]}")
    page.get_by_role("link", name="下载打好标的表").click()
    page.get_by_role("alert").get_by_text("已经从服务器删除").wait_for()
    assert page.url == address
    assert page.locator("#lanes").is_visible()


def test_a_file_that_is_refused_does_not_cost_the_last_result(
    page: Any, server: Server, tmp_path: Path
) -> None:
    page.goto(f"{server.origin}/files")
    upload(page, table(tmp_path / "表.xlsx", "公交车等了四十分钟不来"))
    finished(page)
    wrong = tmp_path / "信.docx"
    wrong.write_bytes(b"PK")
    upload(page, wrong)
    page.get_by_role("alert").get_by_text("只收表格文件").wait_for()
    assert page.locator("#lanes").is_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="下载打好标的表").click()
    assert download.value.suggested_filename == "表-打标.xlsx"
    upload(page, table(tmp_path / "新.xlsx", "公交车等了四十分钟不来", "小区没有健身器材"))
    page.locator("#state", has_text="2 行").wait_for()
    assert page.locator("#job-name").inner_text() == "新.xlsx"
