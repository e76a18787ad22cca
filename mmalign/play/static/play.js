// The page of `mmalign play`: asks the server on this machine, and shows what it says.
"use strict";

const $ = (id) => document.getElementById(id);
const KINDS = { seen: "seen in training", unseen: "unseen, known from its description", new: "new, added here" };
let state = null;
let last = null; // what was asked: { ask, url, name }, so that it can be asked again
let turn = 0; // only the latest question's answer is shown
let busy = false; // classes are being added or removed
let shown = 0; // pictures of the gallery so far

/** An element with these properties and children; text is text, never markup. */
function el(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((each) => each !== null && each !== ""));
  return made;
}

/** What the server answers, as JSON. Throws an Error with its sentence. */
async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("mmalign play does not answer: it was ended, or the connection broke off. Start it again.");
  }
  const told = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(told.error || `The server answered ${response.status}.`);
  return told;
}

function say(id, sentence) {
  $(id).textContent = sentence;
}

const among = () => document.querySelector("#among :checked").value;
const radio = (value) => document.querySelector(`#among [value=${value}]`);

function clearErrors() {
  for (const id of ["ask-error", "sample-error", "teach-error"]) say(id, "");
}

const count = (number) => number.toLocaleString("en");

const size = (bytes) => (bytes < 2 ** 20 ? `${bytes / 2 ** 10} KiB` : `${bytes / 2 ** 20} MiB`);

function percent(part) {
  const value = 100 * part;
  if (value < 0.1) return "< 0.1 %";
  return `${value >= 9.95 ? Math.round(value) : value.toFixed(1)} %`;
}

// ---- what there is ----

function describeModel() {
  const described = state.described.length ? ` · described by ${state.described.join(", ")}` : "";
  const added = state.added.length ? ` + ${state.added.length} new` : "";
  const many = state.added.length;
  say("among-all", `all ${count(state.seen + state.unseen + many)}`);
  say("among-unseen", `${count(state.unseen + many)} never seen`);
  say("among-new", `${count(many)} new`);
  radio("new").disabled = !many;
  radio("unseen").disabled = !(state.unseen + many);
  if (radio(among()).disabled) radio("all").checked = true;
  say("model", `${state.path} · ${state.method} · ${count(state.seen)} seen and ${count(state.unseen)} unseen classes${added}${described}`);
}

function showAsking() {
  $("zone").hidden = Boolean(state.no_pictures);
  $("no-pictures").hidden = !state.no_pictures;
  say("no-pictures", state.no_pictures);
  say("zone-hint", `PNG, JPEG, WebP or GIF, up to ${size(state.limits.upload)}. It stays on this machine.`);
  const { kind, about, count: many } = state.samples;
  say("about", kind === "rows" ? `${about} ${count(many)} of them; their pictures are not here, only their numbers.` : about);
  $("rows").hidden = kind !== "rows";
  $("row").max = many - 1;
  $("gallery").hidden = kind !== "pictures";
  if (kind === "pictures" && !shown) morePictures();
}

async function morePictures() {
  try {
    const { names, start, count: many } = await call(`/api/samples?start=${shown}&count=12`);
    names.forEach((name, place) => {
      const number = start + place;
      const picture = el("img", { src: `/api/samples/${number}/picture`, alt: name, loading: "lazy" });
      const button = el("button", { type: "button", ariaPressed: "false", onclick: () => askSample(number, button) }, picture);
      $("gallery").append(el("li", {}, button));
    });
    shown = start + names.length;
    $("more").hidden = shown >= many;
  } catch (error) {
    say("sample-error", error.message);
  }
}

function showTeaching() {
  $("form").hidden = Boolean(state.no_newcomers);
  $("no-newcomers").hidden = !state.no_newcomers;
  say("no-newcomers", state.no_newcomers);
  $("name").maxLength = state.limits.name;
  $("text").maxLength = state.limits.text;
  $("text-field").hidden = !state.takes_text;
  $("numbers-field").hidden = !state.takes_numbers.length;
  say("numbers-hint", state.takes_numbers.map(({ name, dim }) => `${count(dim)} of '${name}', one after the other`).join("; or "));
  countNumbers();
  $("fill").hidden = !state.strangers.length;
  $("stranger").replaceChildren(el("option", { value: "" }, "none"), ...state.strangers.map((name) => el("option", { value: name }, name)));
  $("added").hidden = !state.added.length;
  $("newcomers").replaceChildren(...state.added.map(newcomer));
  say("command", state.command);
}

function newcomer({ name, text, numbers, lacking }) {
  const described = [text, numbers ? `${count(numbers)} numbers` : "", lacking.length ? `not described by ${lacking.join(", ")}` : ""];
  const remove = el("button", { type: "button", ariaLabel: `Remove ${name}`, onclick: () => change("DELETE", `/api/classes?name=${encodeURIComponent(name)}`) }, "Remove");
  return el("li", {}, el("div", {}, el("span", {}, name), el("p", { className: "muted" }, described.filter(Boolean).join(" · "))), remove);
}

async function refresh() {
  state = await call("/api/state");
  describeModel();
  showAsking();
  showTeaching();
}

// ---- asking ----

async function ask(question, where) {
  clearErrors();
  const mine = ++turn;
  $("answer").setAttribute("aria-busy", "true");
  try {
    const answer = await question.ask();
    if (mine !== turn) return null;
    if (last && last.url && last.url !== question.url && last.url.startsWith("blob:")) URL.revokeObjectURL(last.url);
    last = { ...question, truth: answer.truth };
    showAnswer(answer, question);
    return answer;
  } catch (error) {
    if (mine === turn) say(where, error.message);
    return null;
  } finally {
    if (mine === turn) $("answer").removeAttribute("aria-busy");
  }
}

function askFile(file) {
  if (!file || !state || state.no_pictures) return;
  press(null);
  if (file.size > state.limits.upload) {
    clearErrors();
    say("ask-error", `${file.name} is larger than ${size(state.limits.upload)}; make it smaller`);
    return;
  }
  const path = () => `/api/ask?among=${among()}&name=${encodeURIComponent(file.name.slice(0, 100))}`;
  const headers = { "content-type": "application/octet-stream" };
  ask({ ask: () => call(path(), { method: "POST", body: file, headers }), url: URL.createObjectURL(file), name: file.name }, "ask-error");
}

function askSample(number, button = null) {
  press(button);
  const url = state.samples.kind === "pictures" ? `/api/samples/${number}/picture` : "";
  ask({ ask: () => call(`/api/samples/${number}?among=${among()}`), url, name: "" }, "sample-error");
}

function press(button) {
  for (const each of $("gallery").querySelectorAll("button")) each.ariaPressed = String(each === button);
}

function showAnswer(answer, { url, name }) {
  $("empty").hidden = true;
  $("found").hidden = false;
  const row = url || answer.name === `row ${answer.number}` ? "" : ` (row ${answer.number})`;
  say("subject-name", answer.name === undefined ? name : `${answer.name}${row}`);
  $("preview").hidden = !url;
  if (url) Object.assign($("preview"), { src: url, alt: "The picture that was asked about" });
  showTruth(answer);
  const line = (each) => classLine(each, answer.calibrated);
  const lines = answer.best.map(line);
  if (answer.besides.length) lines.push(el("li", { className: "gap" }, "and further down"), ...answer.besides.map(line));
  $("best").replaceChildren(...lines);
  $("best").className = answer.calibrated ? "" : "scores";
  const of = `${count(answer.classes)} class${answer.classes === 1 ? "" : "es"}`;
  say("scale", answer.calibrated ? `Calibrated probabilities over all ${of}.` : `Scores over ${of}; a bar runs from the lowest of them to the highest.`);
  $("near").hidden = !answer.neighbours.length;
  $("neighbours").replaceChildren(...answer.neighbours.map((each) => el("li", { className: "line" }, el("span", { className: "rank" }, count(each.rank)), ...title(each), el("span", { className: "value muted" }, each.cosine.toFixed(2)))));
  $("notes").replaceChildren(...answer.notes.map((note) => el("li", {}, note)));
  say("said", spoken(answer));
  const { top } = $("answer").getBoundingClientRect();
  if (top < 0 || top > innerHeight * 0.6) $("answer").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function showTruth({ truth, truth_rank: rank, truth_known: known, classes }) {
  $("describe").hidden = !state.strangers.includes(truth);
  $("truth").className = rank === 1 ? "right" : "";
  if (!truth) return say("truth", "");
  if (rank === 1) return say("truth", `✓ It is ${truth}.`);
  say("truth", rank ? `It is ${truth}, which comes ${ordinal(rank)} of ${count(classes)}.` : known ? `It is ${truth}, which is not among these.` : `It is ${truth}, a class that the model does not know.`);
}

function ordinal(number) {
  const tens = number % 100;
  const ending = tens > 10 && tens < 14 ? "th" : ({ 1: "st", 2: "nd", 3: "rd" })[number % 10] || "th";
  return `${count(number)}${ending}`;
}

const value = ({ share, score }, calibrated) => (calibrated ? percent(share) : score.toFixed(2));

function title({ name, sign, kind }) {
  return [el("span", { className: "name" }, sign ? `${sign} ` : "", name), el("span", { className: `badge ${kind}`, title: KINDS[kind] }, kind)];
}

function classLine(each, calibrated) {
  const line = el("div", { className: "line" }, el("span", { className: "rank" }, count(each.rank)), ...title(each), el("span", { className: "value" }, value(each, calibrated)));
  const bar = el("div", { className: each.kind });
  bar.style.width = `${100 * each.share}%`;
  return el("li", {}, line, el("div", { className: "bar", ariaHidden: "true" }, bar), each.text ? el("p", { className: "text" }, each.text) : "");
}

/** The answer as a screen reader says it. */
function spoken({ best, besides, truth, calibrated }) {
  const told = (each) => `${each.name}, ${calibrated ? "" : "score "}${value(each, calibrated)}, ${each.kind}`;
  const further = besides.map((each) => `${ordinal(each.rank)} ${told(each)}`);
  return `Likeliest: ${[...best.slice(0, 3).map(told), ...further].join("; ")}.${truth ? ` ${$("truth").textContent}` : ""}`;
}

// ---- new classes ----

const typed = () => $("numbers").value.split(/[\s,;]+/).filter(Boolean);

function countNumbers() {
  const many = typed().length;
  say("numbers-count", many ? `${count(many)} numbers` : "");
}

/** Take the truth of a sample that the model does not know as the class to be described. */
async function describeTruth() {
  $("stranger").value = last.truth;
  await fillIn();
  $("add").focus();
}

async function fillIn() {
  const name = $("stranger").value;
  if (!name) return;
  clearErrors();
  try {
    const found = await call(`/api/stranger?name=${encodeURIComponent(name)}`);
    $("name").value = found.name;
    $("text").value = found.text;
    $("numbers").value = found.numbers.map((number) => Number(number.toPrecision(9))).join(" ");
    countNumbers();
  } catch (error) {
    say("teach-error", error.message);
  }
}

function addClass(event) {
  event.preventDefault();
  clearErrors();
  const numbers = $("numbers-field").hidden ? [] : typed().map(Number);
  const wrong = numbers.findIndex((each) => !Number.isFinite(each));
  if (wrong >= 0) return say("teach-error", `Number ${wrong + 1}, '${typed()[wrong].slice(0, 40)}', is no number.`);
  const text = $("text-field").hidden ? "" : $("text").value;
  const body = JSON.stringify({ name: $("name").value, text, numbers });
  change("POST", "/api/classes", { body, headers: { "content-type": "application/json" } });
}

/** Begin a change of classes, show how far it is, and ask the same thing again. */
async function change(method, path, options = {}) {
  if (busy) return;
  clearErrors();
  setBusy(true);
  try {
    let job = await call(path, { method, ...options });
    say("said", `${job.what} …`);
    while (!job.over) {
      showJob(job);
      await new Promise((resolve) => setTimeout(resolve, 200));
      job = await call("/api/job");
    }
    if (job.error) throw new Error(job.error);
    if (method === "POST") $("form").reset();
    await refresh();
    $("stage").parentElement.hidden = false;
    const asked = last ? await ask(last, "ask-error") : null;
    const done = `Done: ${job.what}, ${job.seconds.toFixed(1)} s.`;
    say("stage", asked ? `${done} The same thing was asked again.` : done);
    say("said", `${done} ${asked ? spoken(asked) : ""}`);
    $("progress").hidden = true;
    if (method === "DELETE") $("name").focus();
  } catch (error) {
    $("job").hidden = true;
    say("teach-error", error.message);
    showTeaching();
  } finally {
    setBusy(false);
  }
}

/** Buttons stay where the keyboard is, and do nothing meanwhile. */
function setBusy(now) {
  busy = now;
  for (const each of $("teach").querySelectorAll("button")) each.ariaDisabled = String(now);
}

function showJob({ stage, done, total, seconds }) {
  $("job").hidden = $("progress").hidden = false;
  if (total) Object.assign($("progress"), { max: total, value: done });
  else $("progress").removeAttribute("value");
  say("stage", `${stage}${total ? `, epoch ${done} of ${total}` : ""} · ${seconds.toFixed(0)} s`);
}

// ---- beginning ----

function listen() {
  $("file").addEventListener("change", () => { askFile($("file").files[0]); $("file").value = ""; });
  $("rows").addEventListener("submit", (event) => { event.preventDefault(); askSample(Number($("row").value)); });
  $("random").addEventListener("click", () => { $("row").value = Math.floor(Math.random() * state.samples.count); askSample(Number($("row").value)); });
  for (const each of document.querySelectorAll("#among input")) each.addEventListener("change", () => last && ask(last, "ask-error"));
  $("more").addEventListener("click", morePictures);
  $("stranger").addEventListener("change", fillIn);
  $("describe").addEventListener("click", describeTruth);
  $("numbers").addEventListener("input", countNumbers);
  $("form").addEventListener("submit", addClass);
  // Anywhere on the page: a browser would leave it, to show the file.
  addEventListener("dragover", (event) => { event.preventDefault(); $("zone").classList.add("over"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("zone").classList.remove("over"); });
  addEventListener("drop", (event) => { event.preventDefault(); $("zone").classList.remove("over"); askFile(event.dataTransfer.files[0]); });
  addEventListener("paste", (event) => { if (event.clipboardData.files.length) askFile(event.clipboardData.files[0]); });
}

listen();
refresh().catch((error) => say("ask-error", error.message));
