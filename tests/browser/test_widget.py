"""The widget in another site's form, as a citizen meets it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import KEY, ROOT, TIMEOUT, Server, Site, Tab

BUS = "三路公交车等了四十分钟不来"
VAGUE = "健身器材的扶手断了，老人差点摔下来"
WIDGET = ROOT / "serve" / "static" / "widget.js"


class Form:
    """The form of the other site, with the widget on it."""

    def __init__(self, tab: Tab, site: Site, server: str) -> None:
        from playwright.sync_api import expect

        expect.set_options(timeout=TIMEOUT)
        self.expect = expect
        self.tab, self.page, self.site = tab, tab.page, site
        self.page.goto(site.form(server))
        self.text = self.page.locator("#suggestion")
        self.status = self.page.locator(".weilei .status")
        self.choices = self.page.locator(".weilei label")
        self.checked = self.page.locator(".weilei label:has(input:checked)")
        self.personal = self.page.locator(".weilei .personal")
        self.page.evaluate(
            "window.heard = [];"
            "document.addEventListener('weilei:choice', (e) => heard.push(e.detail))"
        )

    def sees(self, locator: Any, *texts: str) -> None:
        for text in texts:
            self.expect(locator).to_contain_text(text)

    def held(self) -> list[str]:
        names = ("weilei_class", "weilei_lane")
        return [self.page.locator(f"input[name={name}]").input_value() for name in names]

    def heard(self) -> list[dict[str, str]]:
        return list(self.page.evaluate("heard"))

    def submit(self) -> dict[str, str]:
        self.page.get_by_role("button", name="提交").click()
        self.page.get_by_role("heading", name="收到了").wait_for()
        return self.site.posts[-1]


@pytest.fixture
def form(tab: Callable[..., Tab], site: Site, server: Server) -> Form:
    return Form(tab(), site, server.origin)


def hang(form: Form) -> list[Any]:
    """From now on no question is answered; those that come are in the list."""
    waiting: list[Any] = []
    form.page.route("**/v1/classify", lambda route: waiting.append(route))
    return waiting


def test_typing_shows_class_scope_and_office(form: Form, server: Server) -> None:
    form.text.press_sequentially(BUS, delay=20)
    form.sees(form.status, "微交通", "市交通运输局")
    [transport] = [c for c in server.get("/v1/taxonomy")["classes"] if c["id"] == "transport"]
    form.sees(form.checked, "微交通", transport["scope"])
    assert form.held() == ["transport", "auto"]
    assert form.heard()[-1] == {
        "id": "transport", "name": "微交通", "by": "model", "lane": "auto",
    }  # fmt: skip
    posted = form.submit()
    assert posted == {"text": BUS, "weilei_class": "transport", "weilei_lane": "auto"}


def test_unsure_goes_to_a_person_and_says_why(form: Form) -> None:
    form.text.fill(VAGUE)
    form.sees(form.status, "先转人工", "把握不足")
    form.sees(form.checked, "转人工")
    assert form.held() == ["other", "review"]
    assert form.choices.count() >= 3


def test_citizen_chooses_and_the_choice_outlives_more_typing(form: Form) -> None:
    form.text.fill(BUS)
    form.sees(form.status, "微交通")
    other = form.choices.nth(1)
    name = other.locator("b").inner_text()
    other.click()
    form.sees(form.status, "已选" + name)
    chosen = form.heard()[-1]
    assert (chosen["name"], chosen["by"], chosen["lane"]) == (name, "citizen", "review")
    with form.page.expect_response("**/v1/classify"):
        form.text.press_sequentially("，老人站着等")
    form.sees(form.checked, name)
    assert form.held() == [chosen["id"], "review"]
    form.page.locator("form").evaluate("form => form.reset()")
    form.expect(form.choices.first).to_be_hidden()
    assert form.held() == ["", "review"]


def test_an_edit_takes_the_answer_back_until_the_next_one(form: Form) -> None:
    form.text.fill(BUS)
    form.sees(form.status, "微交通")
    hang(form)
    form.text.press_sequentially("了")
    assert form.held() == ["", "review"]
    assert form.submit()["weilei_lane"] == "review"


def test_a_choice_made_after_an_edit_is_not_the_models(form: Form) -> None:
    form.text.fill(BUS)
    form.sees(form.status, "微交通")
    hang(form)
    form.text.press_sequentially("了")
    form.choices.nth(1).click()
    form.choices.filter(has_text="微交通").click()
    form.sees(form.status, "已选微交通")
    assert form.held() == ["transport", "review"]
    assert form.heard()[-1]["lane"] == "review"


def test_a_newer_question_cancels_the_older(form: Form) -> None:
    waiting = hang(form)
    with form.page.expect_request("**/v1/classify"):
        form.text.fill(BUS)
    with form.page.expect_event("requestfailed") as failed:
        form.text.fill("学校食堂的饭菜又凉又贵")
    assert failed.value.failure == "net::ERR_ABORTED"
    form.page.unroute("**/v1/classify")
    with form.page.expect_response("**/v1/classify"):
        form.text.fill("学校食堂的饭菜又凉又贵，孩子吃不饱")
    form.sees(form.status, "微教育")
    assert len(waiting) <= 2


def test_few_characters_and_pinyin_ask_nothing(form: Form) -> None:
    asked: list[str] = []
    form.page.on("request", lambda r: asked.append(r.url) if "/v1/" in r.url else None)
    form.page.clock.install()
    form.text.fill("公交车")
    keyboard = form.tab.context.new_cdp_session(form.page)
    form.text.focus()
    pinyin = "dengleyigexiaoshi"
    keyboard.send(
        "Input.imeSetComposition",
        {"text": pinyin, "selectionStart": len(pinyin), "selectionEnd": len(pinyin)},
    )
    form.page.clock.run_for(1000)
    assert asked == []
    keyboard.send("Input.insertText", {"text": "等了一个小时不来"})
    form.page.clock.run_for(400)
    form.sees(form.status, "微交通")
    assert form.text.input_value() == "公交车等了一个小时不来"


def test_a_next_word_begun_before_the_question_holds_it_back(form: Form) -> None:
    asked: list[str] = []
    form.page.on("request", lambda r: asked.append(r.url) if "/v1/" in r.url else None)
    form.page.clock.install()
    form.text.fill("公交车等了四十分钟")
    form.page.clock.run_for(200)
    keyboard = form.tab.context.new_cdp_session(form.page)
    form.text.focus()
    composition = {"text": "lao'nian", "selectionStart": 8, "selectionEnd": 8}
    keyboard.send("Input.imeSetComposition", composition)
    form.page.clock.run_for(1000)
    assert asked == []
    keyboard.send("Input.insertText", {"text": "老年人站着等"})
    form.page.clock.run_for(400)
    form.sees(form.status, "微交通")


def test_personal_data_is_shown_before_any_answer(form: Form) -> None:
    hang(form)
    form.text.fill("电话+86１３８１２３４５６７８，身份证11010519491231002X")
    form.sees(form.personal, "手机号、身份证")
    form.text.fill("打12345和110都没人接，花了13812345.67元，单号110105194912310021")
    form.expect(form.personal).to_be_hidden()


def test_personal_data_that_the_server_finds(form: Form) -> None:
    """Places are counted in characters: an emoji before them must not shift them."""
    form.text.fill("😀😀😀冀T12345一直停在我家门口的人行道上")
    form.sees(form.personal, "车牌")
    hang(form)
    form.text.fill("😀😀😀有辆车一直停在我家门口的人行道上")
    form.expect(form.personal).to_be_hidden()


def test_server_goes_away_and_the_form_still_submits(
    tab: Callable[..., Tab], site: Site, serve: Callable[..., Server]
) -> None:
    server = serve()
    form = Form(tab(), site, server.origin)
    form.text.fill(BUS)
    form.sees(form.status, "微交通")
    server.close()
    form.text.fill(VAGUE)
    form.sees(form.status, "照样可以提交")
    form.expect(form.choices.first).to_be_hidden()
    assert form.heard()[-1] == {"id": "", "name": "", "by": "model", "lane": "review"}
    assert form.submit() == {"text": VAGUE, "weilei_class": "", "weilei_lane": "review"}
    late = Form(tab(), site, server.origin)  # here not even the widget loads
    late.text.fill(BUS)
    assert late.submit() == {"text": BUS}


def test_slow_server_says_not_to_wait(form: Form) -> None:
    hang(form)
    form.page.clock.install()
    with form.page.expect_request("**/v1/classify"):
        form.text.fill(BUS)
        form.page.clock.run_for(400)
    form.page.clock.run_for(1500)
    form.sees(form.status, "不用等")
    form.page.clock.run_for(8000)
    form.sees(form.status, "照样可以提交")  # given up


def test_too_long_a_text_is_read_from_its_beginning(form: Form) -> None:
    form.text.fill(f"{BUS}。" * 500)
    form.sees(form.status, "微交通")


def test_a_form_put_back_forgets_the_choice(form: Form) -> None:
    form.page.evaluate(
        "(text) => { document.querySelector('#suggestion').defaultValue = text }", BUS
    )
    form.text.fill(BUS)
    form.sees(form.status, "看起来是微交通")
    form.choices.last.click()
    form.sees(form.status, "已选转人工")
    form.page.evaluate("document.querySelector('#suggestion').form.reset()")
    form.sees(form.status, "看起来是微交通")
    assert form.held() == ["transport", "auto"]


def test_busy_server_is_asked_again_when_it_said(form: Form, site: Site) -> None:
    refused: list[Any] = []

    def busy(route: Any) -> None:
        if route.request.method == "OPTIONS" or refused:
            route.fallback()
            return
        refused.append(route)
        headers = {
            "Retry-After": "1",
            "Access-Control-Allow-Origin": site.origin,
            "Access-Control-Expose-Headers": "retry-after",
        }
        body = json.dumps({"title": "太忙", "status": 429, "detail": "", "type": "about:blank"})
        route.fulfill(
            status=429, headers=headers, content_type="application/problem+json", body=body
        )

    form.page.route("**/v1/classify", busy)
    form.text.fill(BUS)
    form.sees(form.status, "照样可以提交")
    form.sees(form.status, "微交通")
    assert len(refused) == 1


def test_with_the_keyboard_alone(form: Form, site: Site) -> None:
    keyboard = form.page.keyboard
    keyboard.press("Tab")
    keyboard.type(BUS)
    form.sees(form.status, "微交通")
    keyboard.press("Tab")
    keyboard.press("ArrowDown")
    form.sees(form.status, "已选")
    chosen = form.heard()[-1]
    keyboard.press("Tab")
    keyboard.press("Enter")
    form.page.get_by_role("heading", name="收到了").wait_for()
    assert site.posts[-1]["weilei_class"] == chosen["id"] != "transport"


def test_an_answer_that_comes_late_leaves_the_focus_where_it_is(form: Form) -> None:
    form.text.fill(BUS)
    form.sees(form.status, "微交通")
    waiting = hang(form)
    with form.page.expect_request("**/v1/classify"):
        form.text.fill("学校食堂的饭菜又凉又贵，孩子吃不饱")
    form.page.keyboard.press("Tab")
    waiting.pop().continue_()
    form.sees(form.status, "微教育")
    assert form.page.evaluate("document.querySelector('.weilei').shadowRoot.activeElement.checked")


def test_what_a_screen_reader_is_told(form: Form) -> None:
    form.text.fill(BUS + "，我的手机是13812345678")
    form.sees(form.status, "微交通")
    tree = form.page.locator("main").aria_snapshot()
    assert re.search(r"status: ?看起来是微交通，由市交通运输局办理。", tree)
    assert re.search(r"group .?由哪一类办理", tree)
    assert re.search(r"radio .?微交通市交通运输局.*\[checked\]", tree)
    assert re.search(r"status:\s*(- paragraph: )?里面有手机号", tree)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    tab: Callable[..., Tab], site: Site, server: Server, scheme: str
) -> None:
    form = Form(
        tab(color_scheme=scheme, viewport={"width": 375, "height": 700}), site, server.origin
    )
    form.text.fill(BUS + "，我的手机是13812345678")
    form.sees(form.status, "微交通")
    assert form.tab.problems() == []


def test_a_server_with_keys(tab: Callable[..., Tab], site: Site, keyed: Server) -> None:
    form = Form(tab(), site, keyed.origin)
    form.text.fill(BUS)
    form.sees(form.status, "照样可以提交")
    form.page.goto(keyed.origin)
    form.page.get_by_role("textbox", name="钥匙").fill(KEY)
    form.page.get_by_role("button", name="确定").click()
    form.page.locator(".weilei").wait_for()
    form.text.fill(BUS)
    form.sees(form.status, "微交通")


def test_small_and_free_of_html() -> None:
    code = WIDGET.read_text(encoding="utf-8")
    assert len(code.encode()) < 15_000
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", code)
    assert not re.search(r"\bimport\b|\brequire\(", code)
