/**
 * A real language model fine-tuned in a tab of chromium, on wasm with threads and frozen weights at 16 bits.
 *
 *   npm run build
 *   npm run bench -- language_model_in_tab --model FOLDER --python python
 *
 * A server of this machine has the model, SmolLM2-135M-Instruct say. The library's worker, as it is built, takes ten steps of 2 × 128 tokens
 * of Moby-Dick by the defaults of `finetune`, answers a question, and saves the model as a Hugging Face folder. Prints the time to load, of
 * a step and of a token, and the most memory: of tensors, beside the estimate, and of the tab's process. With --python, that of a Python with
 * torch and transformers, the folder is then loaded there and in Node, and logits are compared (scripts/check_with_transformers.py). With
 * `--write` the figures go to `bench/results/tab.json`.
 */
import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {parseArgs} from 'node:util';
import type {Page} from 'playwright-core';
import {loadTokenizer} from '../../src/llama';
import type {FineTuneOptions, FineTuning, RunInfo, StepEvent} from '../../src/worker';
import {finetuningTexts} from '../../tools/texts';
import {median} from '../harness/statistics';
import {inNewProfile, peakBytesOfTab, serveFolders} from '../harness/tab';
import {provenance, writeRecord} from '../results/store';
import {megabytes, megabytesIfTold} from '../tables/document';

const {values: flags} = parseArgs({
  options: {
    model: {type: 'string'},
    python: {type: 'string'},
    write: {type: 'boolean', default: false},
  },
});
const {model} = flags;
if (model === undefined) throw new Error('give --model, the folder of a language model');
const built = new URL('../../dist/', import.meta.url);
if (!existsSync(new URL('worker/index.js', built))) throw new Error('first run `npm run build`');

const QUESTION = 'Why do people write books about whales? Answer in a few sentences.';
const MAX_TOKENS = 64;
const options = {
  data: {'moby-dick.txt': finetuningTexts().train.join('\n\n').slice(0, 200_000)},
  dataset: {packing: true},
  ...{steps: 10, batchSize: 2, maxLength: 128, frozenDtype: 'BF16', backend: 'wasm'},
  ...{sampleEvery: 0, evaluateEvery: 10},
} satisfies Omit<FineTuneOptions, 'model'>;

/** What the page holds between two calls. */
declare const window: {training: FineTuning};

const before = provenance();
const work = mkdtempSync(join(tmpdir(), 'owlore-tab-'));
const saved = join(work, 'saved');
mkdirSync(saved);
writeFileSync(join(work, 'index.html'), '<!doctype html><title>tab</title>');
const host = await serveFolders({
  '/dist/': built,
  '/model/': pathToFileURL(`${model}/`),
  '/saved/': pathToFileURL(`${saved}/`),
  '/': pathToFileURL(`${work}/`),
});
try {
  const measured = await inNewProfile(measure);
  console.log(JSON.stringify(measured, null, 2));
  if (flags.write)
    await writeRecord('tab', 'language model', {...before, measured}, ['language model', 'page']);
  if (flags.python !== undefined) compareLogits(flags.python);
} finally {
  await host.close();
  rmSync(work, {recursive: true});
}

async function measure(page: Page) {
  page.setDefaultTimeout(0);
  page.on('console', (message) => message.type() === 'log' && console.log(message.text()));
  await page.goto(host.url);
  const began = await page.evaluate(async (options) => {
    const start = performance.now();
    const path = '/dist/worker/index.js';
    const {fineTuneInWorker} = (await import(path)) as typeof import('../../src/worker');
    const training = fineTuneInWorker({...options, model: new URL('/model/', location.href).href});
    const phases: Record<string, number> = {};
    const steps: StepEvent[] = [];
    training
      .on('warning', ({text}) => console.log(text))
      .on('status', ({phase}) => (phases[phase] ??= performance.now() - start))
      .on('step', (step) => {
        steps.push(step);
        console.log(
          `step ${step.step}: loss ${step.loss.toFixed(3)}, ${step.seconds.toFixed(2)} s`,
        );
      });
    Object.assign(window, {training, phases, steps});
    const info: RunInfo = await training.ready;
    return {info, seconds: (performance.now() - start) / 1000};
  }, options);
  const {info} = began;
  const resident = {ready: await peakBytesOfTab(page)};
  const trained = await page.evaluate(async () => {
    const {training, phases, steps} = window as unknown as {
      training: FineTuning;
      phases: Record<string, number>;
      steps: StepEvent[];
    };
    const {heldOut} = await training.finished;
    return {phases, steps, heldOut};
  });
  const {steps} = trained;
  const afterSteps = await peakBytesOfTab(page);
  const chat = await page.evaluate(
    async ({question, maxTokens}) => {
      const start = performance.now();
      let first = NaN;
      const answer = await window.training.chat([{role: 'user', content: question}], {
        maxTokens,
        onText: () => (first = Number.isNaN(first) ? performance.now() : first),
      });
      return {answer, seconds: (performance.now() - start) / 1000, first: (first - start) / 1000};
    },
    {question: QUESTION, maxTokens: MAX_TOKENS},
  );
  const tokens = (await loadTokenizer(model!)).encode(chat.answer, {
    addSpecialTokens: false,
  }).length;
  const saving = await page.evaluate(async () => {
    const start = performance.now();
    const files = await window.training.save('safetensors');
    const seconds = (performance.now() - start) / 1000;
    for (const [name, body] of files) await fetch(`/saved/${name}`, {method: 'PUT', body});
    window.training.dispose();
    return {seconds, bytes: [...files.values()].reduce((sum, {size}) => sum + size, 0)};
  });
  const peakBytes = Math.max(...steps.map((step) => step.peakBytes));
  const times = steps.map(({seconds}) => seconds);
  console.log(
    `${info.parameters} parameters, ${info.threads} threads: ready after ${began.seconds.toFixed(1)} s, ` +
      `${median(times).toFixed(2)} s a step, ${(tokens / chat.seconds).toFixed(1)} tokens a second in a chat; ` +
      `tensors ${megabytes(peakBytes)} MB (estimate ${megabytes(info.estimate.total)}), ` +
      `process ${megabytesIfTold(afterSteps)} MB; loss ${steps[0]!.loss.toFixed(3)} -> ${steps.at(-1)!.loss.toFixed(3)}`,
  );
  return {
    browser: page.context().browser()!.version(),
    parameters: info.parameters,
    threads: info.threads,
    /** Milliseconds until a phase began. */
    phases: trained.phases,
    secondsToReady: began.seconds,
    secondsOfSteps: times,
    losses: steps.map(({loss}) => loss),
    heldOut: trained.heldOut,
    bytes: {
      ...{estimate: info.estimate.total, tensors: peakBytes, plain: info.plainBytes},
      resident: {...resident, steps: afterSteps, end: await peakBytesOfTab(page)},
    },
    chat: {...chat, tokens, tokensPerSecond: (tokens - 1) / (chat.seconds - chat.first)},
    saving,
  };
}

/** Throws unless transformers has the logits that Node has of the folder that was saved. */
function compareLogits(python: string): void {
  const script = (name: string): string =>
    fileURLToPath(new URL(`../../scripts/${name}`, import.meta.url));
  const run = (command: string, ...args: string[]): void =>
    void execFileSync(command, args, {stdio: 'inherit'});
  run('npx', 'tsx', script('save_for_transformers.ts'), saved);
  run(python, script('check_with_transformers.py'), saved);
}
