// The server, asked: with a token where it wants one, and again where it is busy.

const KEPT = "raresight-token";
const PATIENCE = { 429: 60, 503: 6 };
const LOST = 3;

/** What the server said instead of an answer. */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export class Api {
  /** `askToken(wrong)` gives a promise of a token; `wrong` says whether one was refused. */
  constructor(askToken) {
    this.askToken = askToken;
    this.asking = null;
    this.token = sessionStorage.getItem(KEPT);
  }

  forget() {
    this.token = null;
    sessionStorage.removeItem(KEPT);
  }

  async model() {
    return (await this.request("v1/model")).json();
  }

  async drift() {
    return (await this.request("v1/drift")).json();
  }

  async predict(file, signal) {
    const answer = await this.request("v1/predict", { method: "POST", body: form(file), signal });
    return (await answer.json()).predictions;
  }

  async explain(file, frame, signal) {
    const answer = await this.request(`v1/explain?frame=${frame}`, { method: "POST", body: form(file), signal });
    return answer.json();
  }

  async feedback(id, label) {
    const headers = { "Content-Type": "application/json" };
    await this.request("v1/feedback", { method: "POST", headers, body: JSON.stringify({ id, label }) });
  }

  /** Ask until there is an answer, or a refusal that waiting does not change. */
  async request(path, options = {}) {
    const tries = { 429: 0, 503: 0, lost: 0 };
    for (;;) {
      const token = this.token;
      const headers = { ...options.headers };
      if (token) headers.Authorization = `Bearer ${token}`;
      let answer;
      try {
        answer = await fetch(new URL(path, document.baseURI), { ...options, headers, credentials: "omit" });
      } catch (error) {
        if (error.name === "AbortError") throw error;
        if (++tries.lost >= LOST) throw new Refusal(0, "the server cannot be reached, or the file can no longer be read");
        await pause(tries.lost, options.signal);
        continue;
      }
      if (answer.ok) return answer;
      if (answer.status === 401) {
        await this.renew(token);
        continue;
      }
      const patience = PATIENCE[answer.status];
      if (patience && ++tries[answer.status] < patience) {
        const told = Number.parseFloat(answer.headers.get("Retry-After"));
        await pause(Math.min(Math.max(told || 1, 0.2), 30) * (1 + Math.random() / 4), options.signal);
        continue;
      }
      throw new Refusal(answer.status, await detail(answer));
    }
  }

  /** Get another token, once for all requests that want one; where none is given, all of them end. */
  async renew(refused) {
    if (this.token !== refused) return;
    this.asking ??= this.askToken(refused !== null);
    const token = await this.asking;
    this.asking = null;
    this.token = token;
    sessionStorage.setItem(KEPT, token);
  }
}

function form(file) {
  const body = new FormData();
  body.append("file", file, file.name || "image");
  return body;
}

function pause(seconds, signal) {
  return new Promise((go, stop) => {
    const timer = setTimeout(go, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      stop(new DOMException("stopped", "AbortError"));
    }, { once: true });
  });
}

async function detail(answer) {
  try {
    const problem = await answer.json();
    return problem.detail || problem.title;
  } catch {
    return `the server answered with status ${answer.status}`;
  }
}
