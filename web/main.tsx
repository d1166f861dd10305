// Starts the page: reads the address, creates the state, draws the pages, opens the model.

import { signal } from "@preact/signals";
import { render } from "preact";
import { brokenNotice, keepInAddress, subscribeAddress } from "studio/page/address-bar.js";
import { suitText } from "studio/page/first-text.js";
import { Header, Notices, Pages } from "studio/page/pages.js";
import { fromHash } from "studio/state/address.js";
import { Corpus } from "studio/state/corpus.js";
import { createQuestion } from "studio/state/explained.js";
import * as host from "studio/state/host.js";
import { subscribeLive } from "studio/state/live.js";
import { Player } from "studio/state/player.js";
import { Session } from "studio/state/session.js";
import { createStore } from "studio/state/store.js";
import { firstView, unsaid } from "studio/state/view.js";
import { AppContext } from "studio/ui/app.js";
import { listenForKeys } from "studio/ui/keys.js";
import { applyTheme, isCalm } from "studio/ui/theme.js";

export async function start(root: HTMLElement): Promise<void> {
  const boot = host.boot();
  const { view, broken } = fromHash(location.hash);
  const store = createStore(firstView(boot, view), (now) => keepInAddress(now, unsaid(boot)));
  const session = new Session(store, host);
  const player = new Player(store, session, isCalm);
  const app = { store, session, player, host, corpus: new Corpus(host), question: createQuestion(store, session) };
  applyTheme(store.get().theme);
  store.subscribe(["theme"], ({ theme }) => applyTheme(theme));
  const notices = signal<string[]>([]);
  const say = (text: string) => void (notices.value = [text, ...notices.value]);
  if (broken.length > 0) say(brokenNotice(broken));
  root.classList.add("studio");
  root.replaceChildren();
  render(
    <AppContext.Provider value={app}>
      <Notices texts={notices} />
      <Header />
      <Pages />
    </AppContext.Provider>,
    root,
  );
  listenForKeys(document, app);
  subscribeAddress(session, boot, say);
  suitText(app);
  await session.open();
  subscribeLive(app, boot.live, say);
}

const place = document.getElementById("studio");
if (place) {
  start(place).catch((error) => {
    render(
      <p class="problem" role="alert">
        {`The studio could not start: ${error.message}`}
      </p>,
      place,
    );
  });
}
