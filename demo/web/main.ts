/** The page: a form, a run, and what it shows of it. */
import {leftOutText, readAddress, writeAddress} from './address';
import {Chat} from './chat';
import {dataTitle, methodOf, missing, modelTitle, optionsOf, type Choice} from './choice';
import {afterPause, atMostEvery, buttonFocus, byId, nextTask, onClick, setText} from './dom';
import {removeTemporary} from './download';
import {offerDownloads} from './download_buttons';
import {codeOf, isDiverged} from './errors';
import {EstimatePanel} from './estimate';
import {Form} from './form';
import {frames} from './frames';
import {
  fineTuneInWorker,
  resumeInWorker,
  type FineTuning,
  type Outcome,
  type ResumeOptions,
  type RunSummary,
  type StatusEvent,
} from './library';
import {showKeptModels} from './kept_models';
import {showLead} from './lead';
import {refuseStrayDrops} from './drop_zone';
import {hideFormNotice, hideNotice, showError, showNotice} from './notice';
import {registerServiceWorker} from './offline';
import {onRateSet, openRate} from './rate_field';
import type {ReportTitle} from './report';
import {RunLog} from './run_log';
import {afterStep, dataOf, goOnLabel, modelOf, waitingText} from './run_words';
import {Runs} from './runs';
import {placeOf} from './settings';
import {DRAW_EVERY, makeCharts, Stage} from './stage';
import {countText, percentText, statusText} from './words';

type State = 'idle' | 'starting' | 'training' | 'pausing' | 'paused' | 'stopping' | 'ended';

let state: State = 'idle';
let run: FineTuning | null = null;
let log: RunLog | null = null;
/** Whether this browser lets the page keep runs. */
let canKeep = true;
/** What the run in the page is made of, in words. */
let title: ReportTitle = {model: '', data: '', method: 'owlore'};

const pageTitle = document.title;
// Each part is made in a task of its own.
await nextTask();
const chat = new Chat();
const runs = new Runs(
  (run, options) => goOnWith(run, options),
  (name) => {
    hideNotice(); // which may offer to go on with it
    if (log?.info?.run === name) clear();
  },
);
const form = new Form(() => formChanged());
await form.addFields();
await nextTask();
const charts = await makeCharts();
const stage = new Stage(charts);
const estimate = new EstimatePanel(
  form,
  () => canKeep,
  ({config}) => {
    form.setLimits({gamma: config.blocks, maxLength: config.maxLength});
    if (state === 'idle') charts.heat.setBlocks(config.blocks);
  },
  showStart,
);

// --- the address

function formChanged(): void {
  hideFormNotice();
  noteAddress();
  estimate.update();
}

/** The browser takes a while for it, which one would notice at each letter. */
const noteAddress = afterPause(() => {
  const {model, data, settings} = form.choice;
  const address = writeAddress({
    ...(model.kind === 'hub' && model.name !== '' && {model: model.name}),
    ...(data.kind === 'built-in' && data.text !== 'moby-dick' && {text: data.text}),
    settings,
  });
  history.replaceState(null, '', address === '' ? location.pathname : `#${address}`);
}, 300);

/** Says what Start does, or why it cannot: only where that is known, as it waits for nothing. */
function showStart(): void {
  if (state !== 'idle') return;
  const {model, data} = form.choice;
  const isDefault =
    model.kind === 'built-in' &&
    data.kind === 'built-in' &&
    Object.keys(form.choice.settings).length === 0;
  const {reason} = estimate;
  const wrong = form.firstWrong;
  showLead(titleOf(form.choice));
  const button = byId<HTMLButtonElement>('start');
  // a button that is disabled would take the focus with it
  if (reason !== null && document.activeElement === button) byId('launch').focus();
  button.disabled = reason !== null;
  announce(reason ?? '');
  say(
    reason ??
      (wrong
        ? `Correct ${placeOf(wrong)} first.`
        : isDefault
          ? 'A minute or two, 6 MB, nothing to install.'
          : `Fine-tunes ${modelTitle(form.choice)} on ${dataTitle(form.choice)}.`),
  );
}

/** What a run of a choice would be of. */
function titleOf(choice: Choice): ReportTitle {
  return {model: modelTitle(choice), data: dataTitle(choice), method: methodOf(choice)};
}

// --- a run

async function start(): Promise<void> {
  const lack = missing(form.choice);
  const wrong = form.firstWrong;
  if (wrong) {
    form.focus(wrong);
    return;
  }
  if (lack !== null) {
    showNotice(lack, [], {isOfForm: true});
    return;
  }
  setState('starting');
  say('Starting …');
  title = titleOf(form.choice);
  try {
    // the click answers first
    await nextTask();
    if (state !== 'starting') return; // stopped meanwhile
    clear();
    announce('Starting.');
    // What is not asked to stay, a browser may remove when its disk is full.
    void navigator.storage?.persist?.();
    const options = await optionsOf(form.choice);
    await listed;
    if (state !== 'starting') return;
    follow(fineTuneInWorker(canKeep ? options : {...options, run: null}));
  } catch (error) {
    failed(error);
  }
}

function goOnWith(
  summary: RunSummary,
  options: Pick<ResumeOptions, 'backend' | 'train'> = {},
  isToWait = false,
): void {
  leave();
  title = {
    model: modelOf(summary),
    data: dataOf(summary),
    method: summary.method,
  };
  showLead(title);
  setState('starting');
  say('Opening …');
  announce('Opening the run.');
  const {name, step, steps} = summary;
  follow(resumeInWorker(name, options), options.train !== false && step < steps);
  if (isToWait) void run!.pause();
  byId('stage').focus({preventScroll: true});
  scrollTo({top: 0});
}

/**
 * Shows a run as it goes.
 *
 * @param isToTrain Whether it makes steps; else it is opened alone.
 */
function follow(training: FineTuning, isToTrain = true): void {
  hideNotice();
  run = training;
  const itsLog = new RunLog(training, () => {
    if (run === training) stage.update();
  });
  log = itsLog;
  stage.show(itsLog);
  training
    .on('status', (status) => {
      if (run === training) showStatus(status);
    })
    .on('step', ({step}) => {
      if (run !== training) return;
      showProgressSoon();
      // all that is seen of a tab in the background
      document.title = `${percentText(step / (log?.info?.steps ?? step))} · ${pageTitle}`;
    })
    .on('checkpoint', ({step}) => {
      if (state === 'stopping' || step === log?.info?.steps)
        say('Saved. Looking at what the model knows now …');
    })
    .on('paused', ({step}) => {
      setState('paused');
      say(`Paused ${afterStep(step)}. ${goesOnWhen()}`);
      announce('Paused.');
    })
    .on('resumed', () => {
      hideNotice();
      setState('training');
      say('Training goes on …');
      announce('Training goes on.');
    })
    .on('warning', (warning) => {
      if (warning.code) showError(Object.assign(new Error(warning.text), {code: warning.code}));
      else console.info(warning.text);
    });
  training.ready.then(
    ({step, steps}) => {
      if (run !== training || state !== 'starting' || !isToTrain) return;
      byId<HTMLProgressElement>('progress').value = step / steps;
      byId('pause').title = goesOnWhen();
      setState('training');
      say('Looking at what the model knows so far …');
      announce('Training has begun.');
      void refreshRuns();
    },
    () => undefined, // told by `finished`
  );
  training.finished.then(
    (outcome) => {
      if (run === training) ended(training, outcome);
    },
    (error: unknown) => {
      if (run === training) failed(error);
    },
  );
}

/** For how long a run that is paused can go on. */
function goesOnWhen(): string {
  return log?.info?.run == null
    ? 'Go on while this tab is open.'
    : 'Go on at any time, also after closing this tab.';
}

function ended(training: FineTuning, {step, steps, stopped}: Outcome): void {
  setState('ended');
  const words = stopped
    ? `Stopped ${afterStep(step)} of ${countText(steps)}: the model is as it was then.`
    : `Done: ${title.model} has learnt from ${title.data}.`;
  say(words);
  announce(words);
  byId<HTMLProgressElement>('progress').value = steps === 0 ? 1 : step / steps;
  stage.update();
  chat.open(training, log!.info!.promptStyle);
  offerDownloads({run: training, log: log!, title});
  void refreshRuns();
}

function failed(error: unknown): void {
  const hadSteps = (log?.steps.length ?? 0) > 0;
  const name = log?.info?.run ?? null;
  const isSaved = log?.isSaved ?? false;
  leave();
  if (hadSteps) announce('');
  else clear();
  setState('idle');
  showStart();
  if (estimate.reason === null) say('It did not work.');
  const isOfGpu = ['no-webgpu', 'no-webgl', 'device-lost'].includes(codeOf(error));
  // it would come to the same again
  const isToWait = isSaved && isDiverged(error);
  const startOnWasm = () => {
    form.apply({backend: 'wasm'});
    void start();
  };
  const actions =
    hadSteps && name !== null
      ? [
          {
            label: isToWait
              ? 'Open the last checkpoint, to set a lower rate'
              : isSaved
                ? 'Go on from the last checkpoint'
                : 'Begin it again',
            act: () => void goOnByName(name, {}, isToWait),
          },
          ...(isOfGpu
            ? [
                {
                  label: isSaved ? 'Go on with wasm' : 'Begin it again with wasm',
                  act: () => void goOnByName(name, {backend: 'wasm'}),
                },
              ]
            : []),
        ]
      : isOfGpu
        ? [{label: 'Start on wasm', act: startOnWasm}]
        : [];
  showError(error, actions, {isOfForm: !hadSteps});
  console.info(error);
  void refreshRuns();
}

async function goOnByName(
  name: string,
  options: Parameters<typeof goOnWith>[1] = {},
  isToWait = false,
): Promise<void> {
  const found = (await refreshRuns()).find((one) => one.name === name);
  if (found) goOnWith(found, options, isToWait);
  else showNotice('This browser does not keep that run any more.');
}

/** Shows no run. */
function clear(): void {
  log = null;
  stage.show(new RunLog(null));
  announce('');
  for (const id of ['chat-before', 'chat-after']) setText(byId(id), '');
}

/** Ends the worker; what is kept stays. */
function leave(): void {
  offerDownloads(null);
  chat.close();
  if (run === null) return;
  run.dispose();
  run = null;
  // The lock of the run is given back a moment later.
  setTimeout(() => void refreshRuns(), 500);
}

// --- what is shown of it

const buttons = ['start', 'cancel', 'resume', 'pause', 'stop', 'compare', 'again'] as const;
const shownIn: Record<State, readonly (typeof buttons)[number][]> = {
  idle: ['start'],
  starting: ['cancel'],
  training: ['pause', 'stop'],
  pausing: ['pause', 'stop'],
  paused: ['resume', 'stop'],
  stopping: ['stop'],
  ended: ['compare', 'again'],
};

function setState(next: State): void {
  state = next;
  const areDisabled = next === 'pausing' || next === 'stopping';
  // With a button that goes away, focus goes beside the next one, and to that a moment later: pressed twice, a key does no harm. It goes
  // before anything changes, because the browser lays out for it what has changed.
  const focused = buttons.find((name) => byId(name) === document.activeElement);
  if (focused && (areDisabled || !shownIn[next].includes(focused)))
    byId('launch').focus({preventScroll: true});
  if (next === 'starting') estimate.stop();
  else if (next === 'idle' || next === 'ended') estimate.goOn();
  document.title = next === 'ended' ? `Done · ${pageTitle}` : pageTitle;
  document.body.dataset.state = next;
  for (const name of buttons) {
    const button = byId<HTMLButtonElement>(name);
    button.hidden = !shownIn[next].includes(name);
    button.disabled = areDisabled;
  }
  focusButtonSoon();
  frames.ask(lock); // which has the browser lay out the whole form
  openRate(next === 'training' || next === 'paused');
  if (next === 'idle' || next === 'starting') {
    byId<HTMLProgressElement>('progress').value = 0;
  }
}

const focusButtonSoon = buttonFocus(byId('launch'));

function lock(): void {
  const isBusy = state !== 'idle' && state !== 'ended';
  form.lock(isBusy, state === 'ended');
  runs.isLocked = isBusy;
}

function showStatus(status: StatusEvent): void {
  const {phase, done, total} = status;
  // what is written then, its own note says
  if (phase === 'training' || state === 'ended') return;
  say(statusText(status));
  if (state === 'starting' && done !== undefined && total) {
    byId<HTMLProgressElement>('progress').value = done / total;
  }
}

function showProgress(): void {
  const info = log?.info;
  const last = log?.last;
  if (!info || !last || state === 'ended') return;
  byId<HTMLProgressElement>('progress').value = last.step / info.steps;
  if (state === 'training') {
    say(
      `Training ${title.model} on ${title.data}: step ${countText(last.step)} of ${countText(info.steps)}.`,
    );
    const tenth = Math.ceil(info.steps / 10);
    if (last.step % tenth === 0) announce(`Step ${last.step} of ${info.steps}.`);
  }
}

const showProgressSoon = atMostEvery(() => frames.ask(showProgress), DRAW_EVERY);

function say(text: string): void {
  setText(byId('phase'), text);
}

/** Says it to those who do not see the page. */
function announce(text: string): void {
  setText(byId('live'), text);
}

async function refreshRuns(): Promise<RunSummary[]> {
  try {
    await showKeptModels();
    runs.current = run === null ? null : (log?.info?.run ?? null);
    const found = await runs.refresh();
    canKeep = true;
    return found;
  } catch (error) {
    canKeep = false;
    console.info(error);
    setText(
      byId('runs-note'),
      'This browser lets the page keep nothing, so a run ends with its tab. That changes when you allow it to store data.',
    );
    return [];
  } finally {
    runs.isLocked = state !== 'idle' && state !== 'ended';
  }
}

// --- what one can do

onClick('start', () => void start());
onClick('pause', () => {
  setState('pausing');
  say('Pausing after this step …');
  run?.pause().catch(() => undefined); // told by a warning, or by `finished`
});
onClick('resume', () => run?.resume());
onClick('cancel', () => {
  leave();
  clear();
  setState('idle');
  showStart();
});
onClick('stop', () => {
  setState('stopping');
  if (log) log.isStopping = true;
  stage.update();
  say('Stopping after this step, and looking at what the model knows then …');
  run?.stop().catch(() => undefined); // told by `finished`
});
onClick('compare', () => {
  byId('after').scrollIntoView({block: 'start'});
  byId('chat-text').focus({preventScroll: true});
});
onClick('again', () => {
  leave();
  clear();
  setState('idle');
  showStart();
  void refreshRuns();
});

onRateSet((rate) => run?.setLearningRate(rate));

// Who hides a page may close it next, and phones end hidden pages without a word.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) run?.checkpoint();
});

// --- the page is there

form.set(readAddress(location.hash));
setState('idle');
showStart();
const ignored = leftOutText(location.hash);
if (ignored !== null) showNotice(ignored, [], {kind: 'friendly', isOfForm: true});
if (location.hash.includes('=')) estimate.update();
// What a run takes is computed when somebody looks at the form, not at each visit: that loads tfjs.
for (const type of ['focusin', 'pointerdown'])
  byId('form').addEventListener(type, () => estimate.update(), {once: true});
for (const link of document.querySelectorAll<HTMLAnchorElement>('.skip, .jumps a'))
  link.addEventListener('click', (event) => {
    event.preventDefault(); // the address has the settings
    byId(link.hash.slice(1)).focus();
  });
addEventListener('hashchange', () => {
  if (location.hash.includes('=') && state === 'idle') location.reload();
});

addEventListener('focus', () => {
  if (state === 'idle' || state === 'ended') estimate.askAgain();
});

// Runs may have ended in other tabs meanwhile.
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && (state === 'idle' || state === 'ended')) void refreshRuns();
});
refuseStrayDrops();
void removeTemporary();
void registerServiceWorker();
const listed = refreshRuns();
void listed.then(async (found) => {
  let [latest] = found;
  // before a reload its worker was of this tab, and holds it for a moment
  for (let i = 0; i < 10 && latest?.state === 'running' && state === 'idle'; i++) {
    await new Promise((resolve) => setTimeout(resolve, 300));
    [latest] = await refreshRuns();
  }
  const text = latest && waitingText(latest);
  if (!latest || !text || state !== 'idle') return;
  const {name, step} = latest;
  const closed = 'closed notice';
  if (localStorage.getItem(closed) === `${name} ${step}`) return;
  showNotice(text, [{label: goOnLabel(latest), act: () => goOnWith(latest)}], {
    kind: 'friendly',
    onClose: () => localStorage.setItem(closed, `${name} ${step}`),
  });
});
