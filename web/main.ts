// Starts the page: reads the address, creates the state, mounts the panels, opens the model.

import { brokenNotice, keepInAddress, subscribeAddress } from "studio/page/address-bar.js";
import { suitText } from "studio/page/first-text.js";
import { header, notice } from "studio/page/header.js";
import { mountPages } from "studio/page/pages.js";
import { fromHash } from "studio/state/address.js";
import { createCorpus } from "studio/state/corpus.js";
import { createQuestion } from "studio/state/explained.js";
import * as host from "studio/state/host.js";
import { subscribeLive } from "studio/state/live.js";
import { Player } from "studio/state/player.js";
import { createSession } from "studio/state/session.js";
import { createStore } from "studio/state/store.js";
import { firstView, unsaid } from "studio/state/view.js";
import { element } from "studio/ui/draw.js";
import { listenForKeys } from "studio/ui/keys.js";
import { applyTheme, isCalm } from "studio/ui/theme.js";

export async function start(root: HTMLElement): Promise<void> {
  const boot = host.boot();
  const { view, broken } = fromHash(location.hash);
  const store = createStore(firstView(boot, view), (now) => keepInAddress(now, unsaid(boot)));
  const session = createSession(store, host);
  const player = new Player(store, session, isCalm);
  const app = { store, session, player, host, corpus: createCorpus(host), question: createQuestion(store, session) };
  applyTheme(store.get().theme);
  store.subscribe(["theme"], ({ theme }) => applyTheme(theme));
  root.classList.add("studio");
  root.replaceChildren(header(app, boot), ...mountPages(app));
  const say = (text: string) => root.prepend(notice(text));
  if (broken.length > 0) say(brokenNotice(broken));
  listenForKeys(document, app);
  subscribeAddress(session, boot, say);
  suitText(app);
  await session.open();
  subscribeLive(app, boot.live, say);
}

const place = document.getElementById("studio");
if (place) {
  start(place).catch((error) => {
    place.replaceChildren(
      element("p", { class: "problem", role: "alert", text: `The studio could not start: ${error.message}` }),
    );
  });
}
