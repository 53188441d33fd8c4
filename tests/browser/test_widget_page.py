"""The widget and what other people's pages do with their own form."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.conftest import Server, Site, Tab
from tests.browser.test_widget import BUS, VAGUE, Form, form, hang

__all__ = ["form"]  # the fixture

SCHOOL = "学校食堂的饭菜又凉又贵，孩子吃不饱"


def write(form: Form, text: str) -> None:
    """Write into the text as a script of the page does: no event says so."""
    form.text.evaluate("(area, text) => { area.value = text }", text)


@pytest.mark.parametrize("send", ["form.requestSubmit()", "form.submit()"])
def test_a_text_the_model_never_saw_goes_to_a_person(form: Form, send: str) -> None:
    form.text.fill(BUS)
    form.sees(form.status, "微交通")
    write(form, SCHOOL)
    form.text.evaluate(f"({{ form }}) => {send}")
    form.page.get_by_role("heading", name="收到了").wait_for()
    posted = form.site.posts[-1]
    assert posted == {"text": SCHOOL, "weilei_class": "", "weilei_lane": "review"}


def test_what_the_citizen_chose_holds_for_a_text_a_script_wrote(form: Form) -> None:
    form.text.fill(BUS)
    form.sees(form.status, "微交通")
    form.choices.nth(1).click()
    form.choices.filter(has_text="微交通").click()
    form.sees(form.status, "已选微交通")
    assert form.held() == ["transport", "auto"]
    write(form, SCHOOL)
    assert form.submit() == {"text": SCHOOL, "weilei_class": "transport", "weilei_lane": "review"}


def test_the_page_hears_once_that_an_edit_took_the_answer_back(form: Form) -> None:
    form.text.fill(BUS)
    form.sees(form.status, "微交通")
    waiting = hang(form)
    before = len(form.heard())
    with form.page.expect_request("**/v1/classify"):
        form.text.press_sequentially("，老人站着等")
    gone = {"id": "", "name": "", "by": "model", "lane": "review"}
    assert form.heard()[before:] == [gone]
    waiting.pop().continue_()
    form.expect(form.page.locator("input[name=weilei_lane]")).to_have_value("auto")
    assert [e["lane"] for e in form.heard()[before:]] == ["review", "auto"]


def test_an_edit_of_what_is_not_sure_tells_nothing_new(form: Form) -> None:
    form.text.fill(VAGUE)
    form.sees(form.status, "先转人工")
    hang(form)
    before = form.heard()
    form.text.press_sequentially("了")
    assert form.held() == ["", "review"]
    assert form.heard() == before


def test_after_going_back_the_text_is_read_again(form: Form) -> None:
    form.text.fill(BUS)
    form.sees(form.status, "微交通")
    form.submit()
    form.page.go_back()
    form.expect(form.text).to_have_value(BUS)
    form.sees(form.status, "微交通")
    assert form.held() == ["transport", "auto"]


@pytest.fixture
def bare(tab: Callable[..., Tab], site: Site) -> Form:
    """The form without the widget."""
    return Form(tab(bypass_csp=True), site, "http://127.0.0.1:9")


def add_widget(form: Form, server: Server) -> None:
    form.page.evaluate(
        "(src) => new Promise((resolve) => {"
        "const script = document.createElement('script');"
        "Object.assign(script, { src, onload: resolve });"
        "script.dataset.target = '#suggestion'; document.body.append(script) })",
        f"{server.origin}/widget.js",
    )


def test_a_label_around_the_text_stays_its_name(bare: Form, server: Server) -> None:
    bare.page.evaluate(
        "() => { const label = document.querySelector('label');"
        "label.append(document.querySelector('#suggestion')) }"
    )
    add_widget(bare, server)
    bare.text.fill(BUS)
    bare.sees(bare.status, "微交通")
    bare.page.get_by_role("textbox", name="建议", exact=True).wait_for()
    bare.status.click()
    assert bare.page.evaluate("document.activeElement.id") != "suggestion"
    assert bare.submit() == {"text": BUS, "weilei_class": "transport", "weilei_lane": "auto"}


def test_loaded_twice_it_is_there_once(bare: Form, server: Server) -> None:
    add_widget(bare, server)
    add_widget(bare, server)
    bare.text.fill(BUS)
    bare.expect(bare.page.locator(".weilei")).to_have_count(1)
    bare.expect(bare.page.locator("input[name=weilei_lane]")).to_have_count(1)


def test_a_reset_that_the_page_forbids_changes_nothing(form: Form) -> None:
    form.text.fill(BUS)
    form.sees(form.status, "微交通")
    form.choices.last.click()
    form.sees(form.status, "已选转人工")
    form.page.evaluate(
        "new Promise((resolve) => {"
        "const { form } = document.querySelector('#suggestion');"
        "form.addEventListener('reset', (event) => event.preventDefault());"
        "form.reset(); setTimeout(resolve, 50) })"
    )
    assert form.held() == ["other", "review"]
    form.sees(form.status, "已选转人工")


def test_two_widgets_in_a_form_send_both(form: Form) -> None:
    form.text.fill(BUS)
    form.sees(form.status, "微交通")
    assert form.held() == ["transport", "auto"]
    form.page.evaluate(
        """() => new Promise((done) => {
            const [area, script] = ["textarea", "script"].map((tag) => document.createElement(tag));
            area.id = "second";
            document.querySelector("form").append(area);
            Object.assign(script, { src: document.querySelector("script").src, onload: done });
            script.dataset.target = "#second";
            document.head.append(script);
        })"""
    )
    sent = form.page.evaluate(
        """() => {
            const sent = new FormData(document.querySelector("form"));
            return [sent.getAll("weilei_class"), sent.getAll("weilei_lane")];
        }"""
    )
    assert sent == [["transport", ""], ["auto", "review"]]
