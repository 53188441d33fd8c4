/* 微类表单小部件：一边写，一边显示可能的类别、主办单位和里面的个人信息。
 *
 *   <script src="http://服务/widget.js" data-target="#建议" data-title="#标题" data-key="…"></script>
 *
 * data-target  textarea 的选择器（必填）      data-title  标题输入框的选择器
 * data-key     接口钥匙，服务没有设钥匙就不写
 *
 * 表单里多两个隐藏项：weilei_class（类别编号，还没有答案时为空）、weilei_lane（auto 或
 * review；字一改就回到 review，直到新的答案来）。答案或选择有变化、auto 因改字收回时，
 * textarea 上发 weilei:choice 事件，detail 为 {id, name, by: "model" | "citizen", lane}。
 * 服务慢、忙、停了，表单照样能提交。
 */
(() => {
  "use strict";
  const LEAST = 5; // characters; fewer say nothing about the class
  const PAUSE = 350; // ms without a keystroke before asking
  const SLOW = 1500; // ms until the citizen is told not to wait
  const LIMIT = 8000; // ms until the request is given up
  const HEADING = 200; // characters of a title that are sent
  const PATIENCE = 30; // s, the longest wait after a 429

  const HINT = "写下建议，这里会显示可能的类别和办理单位。";
  const WAITING = "正在看是哪一类。不用等，可以直接提交。";
  const FAILED = "暂时看不出是哪一类，照样可以提交，工作人员会分办。";
  const PERSON = "转人工";

  // Colours are the page's own (inherited, or grey that is half transparent), so that
  // the widget is light or dark with the page, whatever the system prefers.
  const CSS = `
    :host { display: block; margin: .5em 0 1em; line-height: 1.6; text-align: start }
    [hidden] { display: none !important }
    p, fieldset { margin: 0; padding: 0; border: 0; min-width: 0 }
    .box { border: 1px solid rgba(128,128,128,.4); border-radius: 8px; padding: .65em .9em;
      background: rgba(128,128,128,.06) }
    fieldset { margin-top: .5em }
    legend { padding: 0; font-size: .875em }
    label { display: grid; grid-template-columns: auto 1fr; column-gap: .6em; padding: .4em 0;
      border-top: 1px solid rgba(128,128,128,.22); cursor: pointer }
    legend + label { border-top: 0 }
    input { width: 1.1em; height: 1.1em; margin: .25em 0 0; accent-color: #0f766e }
    input:focus-visible { outline: 3px solid #0d9488; outline-offset: 2px }
    b { font-weight: 600; margin-inline-end: .6em }
    .scope { display: none; font-size: .875em }
    input:checked + span .scope { display: block }
    .personal { margin-top: .6em; padding: .5em .75em; border-inline-start: 4px solid #d97706;
      border-radius: 4px; background: rgba(217,119,6,.14) }
    @media (max-width: 30em) { .office { display: block } label { padding: .6em 0 } }
    @media (forced-colors: active) { .personal { border: 1px solid } }`;

  /** A new element with text; data only ever comes in as text. */
  function make(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
  }

  function addStyle(root) {
    try {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(CSS); // not subject to the page's style-src, unlike <style>
      root.adoptedStyleSheets = [sheet];
    } catch {
      root.append(make("style", "", CSS)); // browsers before 2023
    }
  }

  /** Kinds of personal data that can be told without asking the server. */
  function personalHere(text) {
    const plain = text.normalize("NFKC");
    const kinds = [];
    if (/(^|[^\d.])((\+|00)?86[- ]?)?1[3-9]\d([- ]?\d{4}){2}(?!\d|\.\d)/.test(plain)) kinds.push("手机号");
    const ids = plain.matchAll(/(?:^|[^\dA-Za-z])([1-9]\d{5}(?:19|20)\d{9}[\dXx])(?![\dA-Za-z])/g);
    for (const [, id] of ids) {
      const sum = [...id.slice(0, 17)].reduce((s, d, i) => s + d * (2 ** (17 - i) % 11), 0);
      if ("10X98765432"[sum % 11] === id[17].toUpperCase()) kinds.push("身份证"); // GB 11643
    }
    return kinds;
  }

  function start(script) {
    const area = document.querySelector(script.dataset.target);
    if (!area) {
      console.error(`weilei: 页面上没有 ${script.dataset.target}`);
      return;
    }
    if ("weilei" in area.dataset) return; // loaded twice
    area.dataset.weilei = "";
    const title = script.dataset.title ? document.querySelector(script.dataset.title) : null;
    const headers = { "Content-Type": "application/json" };
    if (script.dataset.key) headers["X-API-Key"] = script.dataset.key;

    const host = make("div", "weilei");
    const root = host.attachShadow({ mode: "open" });
    addStyle(root);
    const box = make("div", "box");
    const status = make("p", "status", HINT);
    status.setAttribute("role", "status");
    const choices = make("fieldset");
    choices.hidden = true;
    const notice = make("div"); // always there: a live region that appears is not announced
    notice.setAttribute("role", "status");
    const personal = make("p", "personal");
    personal.hidden = true;
    notice.append(personal);
    box.append(status, choices, notice);
    root.append(box);
    (area.closest("label") || area).after(host); // in a label it would be part of the name
    const fields = ["weilei_class", "weilei_lane"].map((name) => {
      const field = make("input");
      field.type = "hidden";
      field.name = name;
      if (area.hasAttribute("form")) field.setAttribute("form", area.getAttribute("form"));
      return field;
    });
    host.after(...fields);

    let taxonomy = null; // asked for once, when first needed
    let asked = ""; // what the running or last answered question was about
    let answer = null; // the last prediction, with what it was about
    let picked = null; // the option the citizen chose; outlives new answers
    let told = {}; // the last choice that listeners heard of
    let timer = 0;
    let request = null;

    const question = () => JSON.stringify([title ? title.value : "", area.value]);
    const enough = () => [...area.value.trim()].length >= LEAST;

    async function get(path, options) {
      const response = await fetch(new URL(path, script.src), { headers, ...options });
      if (response.ok) return response.json();
      const failure = new Error(`weilei: ${response.status}`);
      if (response.status === 429) {
        // Other origins may not be allowed to read Retry-After.
        failure.retry = Math.min(Number(response.headers.get("Retry-After")) || 5, PATIENCE);
      }
      throw failure;
    }

    function hold(option, lane) {
      [fields[0].value, fields[1].value] = [option ? option.id : "", lane];
    }

    /** Put a settled choice into the form, and tell the page if it is another one. */
    function settle(option, by, lane) {
      hold(option, lane);
      const detail = { id: option ? option.id : "", name: option ? option.name : "", by, lane };
      if (JSON.stringify(detail) === JSON.stringify(told)) return;
      told = detail;
      area.dispatchEvent(new CustomEvent("weilei:choice", { bubbles: true, detail }));
    }

    /** No model vouches for the text as it is now; told once, not with every letter. */
    function takeBack() {
      if (told.lane === "auto") settle(picked, picked ? "citizen" : "model", "review");
      else hold(picked, "review");
    }

    function say(text) {
      if (status.textContent !== text) status.textContent = text; // announced once
    }

    function person() {
      const abstain = taxonomy.classes.find((c) => c.id === taxonomy.abstain);
      const found = abstain || { id: "", name: PERSON, office: "" };
      return { ...found, label: PERSON, scope: "工作人员看过以后再定由谁办理。", person: true };
    }

    /** What can be chosen: the model's classes, the citizen's own, and a person. */
    function options() {
      const ids = [answer.primary_id, ...answer.alternatives.map((a) => a.id)];
      if (picked && !picked.person) ids.push(picked.id);
      const found = [...new Set(ids)]
        .filter((id) => id !== taxonomy.abstain)
        .map((id) => taxonomy.classes.find((c) => c.id === id))
        .filter(Boolean)
        .map((c) => ({ ...c, label: c.name }));
      return [...found, person()];
    }

    function show() {
      const list = options();
      const wanted = answer.lane === "auto" ? answer.primary_id : taxonomy.abstain;
      const suggested = list.find((o) => o.id === wanted) || list[list.length - 1];
      const current = (picked && list.find((o) => o.id === picked.id)) || suggested;
      const focused = choices.contains(root.activeElement);
      choices.replaceChildren(make("legend", "", "由哪一类办理（可以改）"));
      for (const option of list) {
        const label = make("label");
        const radio = make("input");
        radio.type = "radio";
        radio.name = "weilei";
        radio.value = option.id;
        radio.checked = option === current;
        radio.addEventListener("change", () => {
          picked = option;
          decide(option);
        });
        const words = make("span");
        words.append(make("b", "", option.label), make("span", "office", option.office));
        words.append(make("span", "scope", option.scope));
        label.append(radio, words);
        choices.append(label);
        if (focused && radio.checked) radio.focus();
      }
      choices.hidden = false;
      decide(current);
    }

    /** The words and the lane for the chosen option. */
    function decide(option) {
      const own = picked && picked.id === option.id;
      const seen = answer.about === question(); // nothing was edited since
      const sure = seen && answer.lane === "auto" && option.id === answer.primary_id;
      if (option.person) {
        say(own ? "已选转人工，工作人员看过再分办。" : `先转人工：${answer.reason || "拿不准"}。`);
      } else {
        say(`${own ? "已选" : "看起来是"}${option.name}，由${option.office}办理。`);
      }
      settle(option, own ? "citizen" : "model", sure ? "auto" : "review");
    }

    function warn() {
      const found = personalHere(`${title ? title.value : ""}\n${area.value}`);
      for (const item of answer ? answer.personal || [] : []) {
        // Offsets count characters, not UTF-16 units. What was deleted since needs no warning.
        const piece = [...answer.text].slice(item.start, item.end).join("");
        if (piece && area.value.includes(piece)) found.push(item.name);
      }
      personal.hidden = !found.length;
      const kinds = [...new Set(found)].join("、");
      const text = kinds && `里面有${kinds}。办理用不到的话可以删去，不删也能提交。`;
      if (personal.textContent !== text) personal.textContent = text;
    }

    function clear(text) {
      answer = null;
      choices.hidden = true;
      say(text);
      settle(null, "model", "review");
    }

    async function ask() {
      const now = question();
      const mine = (request = new AbortController());
      const slow = setTimeout(() => say(WAITING), SLOW);
      const limit = setTimeout(() => mine.abort(), LIMIT);
      try {
        taxonomy = taxonomy || (await get("v1/taxonomy", { signal: mine.signal }));
        // Of what is too long for the server it gets the beginning: the model reads no more.
        const heading = [...(title ? title.value : "")].slice(0, HEADING);
        const most = taxonomy.max_characters - heading.length - 1;
        const text = [...area.value].slice(0, Math.max(most, 0)).join("");
        const body = JSON.stringify({ text, ...(heading.length && { title: heading.join("") }) });
        const found = await get("v1/classify", { method: "POST", body, signal: mine.signal });
        if (request !== mine) return;
        answer = { ...found, text, about: now };
        show();
      } catch (failure) {
        if (request !== mine) return; // a newer question, or none, took its place
        asked = "";
        if (picked && answer) decide(picked); // what the citizen said needs no server
        else clear(FAILED);
        if (failure.retry) timer = setTimeout(update, failure.retry * 1000);
      } finally {
        clearTimeout(slow);
        clearTimeout(limit);
        if (now === asked) warn();
      }
    }

    /** The text is changing, and has to be asked about again. */
    function unask() {
      clearTimeout(timer);
      if (request) request.abort();
      request = null;
      asked = "";
      takeBack();
    }

    function update() {
      warn();
      if (question() === asked) return;
      unask();
      if (!enough()) {
        picked = null;
        clear(HINT);
        return;
      }
      timer = setTimeout(() => {
        asked = question();
        ask();
      }, PAUSE);
    }

    for (const field of title ? [area, title] : [area]) {
      field.addEventListener("input", (event) => event.isComposing || update()); // pinyin is no text
      field.addEventListener("compositionstart", unask);
      field.addEventListener("compositionend", update);
    }
    const anew = () => {
      picked = null;
      unask();
      update();
    };
    /** What a script wrote into the text sends no event: found out when the form is sent. */
    const check = ({ formData }) => {
      if (answer && answer.about === question()) return;
      takeBack();
      for (const { name } of formData ? fields : []) {
        formData.delete(name);
        // Another widget in the form has fields of the same name.
        const all = [...area.form.elements].filter((field) => field.name === name);
        for (const field of all) formData.append(name, field.value);
      }
    };
    if (area.form) {
      area.form.addEventListener("reset", (event) => {
        setTimeout(() => event.defaultPrevented || anew()); // the page may still say no
      });
      area.form.addEventListener("submit", check, true); // before the page looks at the fields
      area.form.addEventListener("formdata", check, true); // form.submit() sends no submit event
    }
    const kept = () => enough() && update(); // what the browser kept from an earlier visit
    hold(null, "review");
    kept();
    addEventListener("pageshow", kept); // some put it back only now
  }

  const script = document.currentScript;
  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", () => start(script));
  } else {
    start(script);
  }
})();
