/**
 * The page of `npm run demo:web` in chromium: what its first view loads, how soon it shows losses, and its longest tasks.
 *
 *   npm run build -w demo/web
 *   npm run bench -- page
 *   npm run bench -- page --lighthouse       # also Lighthouse's figures, by npx, which downloads it
 *
 * The page as it is built is served by this machine. In a new profile each: bytes of the first view, compressed by gzip, without tfjs and the
 * model; seconds from the click to the first losses in the page, with the built-in model and settings; and, with a processor four times
 * slower (CDP), the longest tasks of the main thread from the click over ten steps, a pause, ten more steps and the end to a chat, with what
 * ran in them.
 * With `--write` the figures go to `bench/results/tab.json`.
 */
import {execFile} from 'node:child_process';
import {existsSync, mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs, promisify} from 'node:util';
import type {Page} from 'playwright-core';
import {FIRST_VIEW_LIMIT, openFirstView} from '../../tools/first_view';
import {inNewProfile, serveFolders} from '../harness/tab';
import {provenance, writeRecord} from '../results/store';

/** The newest that Node 20 runs. */
const LIGHTHOUSE = 'lighthouse@12.8.2';

const REPEATS = 3;
const SLOWER = 4;

const {values: flags} = parseArgs({
  options: {
    lighthouse: {type: 'boolean', default: false},
    write: {type: 'boolean', default: false},
  },
});

/** A task of the main thread, in milliseconds after the click, and what of it scripts took. */
interface LongTask {
  start: number;
  duration: number;
  scripts: string[];
}

/** Notes long tasks from now on, and the scripts of the frames that they are in. */
const WATCH_TASKS = `(() => {
  const [tasks, frames, from] = [[], [], performance.now()];
  new PerformanceObserver((list) => tasks.push(...list.getEntries())).observe({type: 'longtask'});
  new PerformanceObserver((list) => frames.push(...list.getEntries())).observe({type: 'long-animation-frame'});
  globalThis.longTasks = () => tasks.map(({startTime, duration}) => ({
    start: startTime - from,
    duration,
    scripts: frames
      .filter((frame) => frame.startTime < startTime + duration && frame.startTime + frame.duration > startTime)
      .flatMap(({scripts}) => scripts)
      .map((script) => script.invoker + ' ' + script.sourceFunctionName + ' ' + script.duration.toFixed(0) + ' ms'),
  }));
})()`;

const before = provenance();
const built = new URL('../../demo/web/dist/', import.meta.url);
if (!existsSync(built)) throw new Error('first run `npm run build -w demo/web`');
const host = await serveFolders({'/': built});
try {
  const measured = {
    firstView: await inNewProfile(firstView),
    secondsToLoss: await repeated(secondsToLoss),
    longTasks: await repeated(longTasks),
    ...(flags.lighthouse && {lighthouse: await lighthouse()}),
  };
  if (flags.write)
    await writeRecord('tab', 'page', {...before, measured}, ['language model', 'page']);
} finally {
  await host.close();
}

async function repeated<T>(measure: (page: Page) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  while (results.length < REPEATS) results.push(await inNewProfile(measure));
  return results;
}

async function firstView(page: Page): Promise<Record<string, number>> {
  const sizes = await openFirstView(page, host.url);
  const total = Object.values(sizes).reduce((sum, size) => sum + size, 0);
  console.log(`first view: ${total} bytes (gzip), limit ${FIRST_VIEW_LIMIT}`);
  for (const [name, size] of Object.entries(sizes)) console.log(`  ${name} ${size}`);
  return sizes;
}

/** To the first of each kind: held-out before training, and of a step. */
async function secondsToLoss(page: Page): Promise<{heldOut: number; step: number}> {
  await open(page);
  const seconds = await page.evaluate(async () => {
    const start = performance.now();
    const shown = async (id: string): Promise<number> => {
      const figure = document.querySelector(id)!;
      while (!/\d/.test(figure.textContent)) await new Promise(requestAnimationFrame);
      return (performance.now() - start) / 1000;
    };
    document.querySelector<HTMLElement>('#start')!.click();
    const [heldOut, step] = await Promise.all([shown('#figure-held-out'), shown('#figure-loss')]);
    return {heldOut, step};
  });
  const {heldOut, step} = seconds;
  console.log(
    `from the click to the first held-out loss: ${heldOut.toFixed(2)} s, and to that of a step: ${step.toFixed(2)} s`,
  );
  return seconds;
}

async function longTasks(page: Page): Promise<LongTask[]> {
  await open(page);
  const session = await page.context().newCDPSession(page);
  await session.send('Emulation.setCPUThrottlingRate', {rate: SLOWER});
  await page.evaluate(WATCH_TASKS);
  const isIn = (state: string): Promise<void> =>
    page.locator(`body[data-state="${state}"]`).waitFor({timeout: 120_000});
  const reaches = async (step: number): Promise<void> => {
    const stepOf = async (): Promise<number> =>
      Number(/step (\d+)/.exec((await page.textContent('#figure-time-note'))!)?.[1] ?? 0);
    while ((await stepOf()) < step) await page.waitForTimeout(200);
  };
  await page.click('#start');
  await isIn('training');
  await reaches(10);
  await page.click('#pause');
  await isIn('paused');
  await page.click('#resume');
  await reaches(20);
  await page.click('#stop');
  await isIn('ended');
  await page.fill('#chat-text', 'The captain');
  await page.click('#chat-send');
  await page.locator('#chat-send:enabled').waitFor({timeout: 120_000});
  await page.waitForTimeout(1000);
  const tasks = await page.evaluate<LongTask[]>('longTasks()');
  const longest = Math.max(0, ...tasks.map(({duration}) => duration));
  console.log(`tasks above 50 ms: ${tasks.length}, the longest ${longest} ms`);
  for (const {start, duration, scripts} of tasks)
    console.log(`  after ${start.toFixed(0)} ms: ${duration} ms; ${scripts.join('; ')}`);
  return tasks;
}

/** A new profile's first visit, some seconds later. */
async function open(page: Page): Promise<void> {
  await page.goto(host.url, {waitUntil: 'networkidle'});
  await page.locator('body[data-state="idle"]').waitFor();
}

/** Scores of 0 to 1, and what lowers them. */
async function lighthouse(): Promise<Record<string, number>> {
  const work = mkdtempSync(join(tmpdir(), 'owlore-lighthouse-'));
  try {
    const report = join(work, 'report.json');
    const args = ['--output=json', `--output-path=${report}`, '--quiet', '--chrome-flags=--headless=new --no-sandbox']; // prettier-ignore
    const only = '--only-categories=performance,accessibility,best-practices';
    // not execFileSync, while which this process would serve no page
    await promisify(execFile)('npx', ['--yes', LIGHTHOUSE, host.url, only, ...args], {
      env: {CHROME_PATH: process.env['CHROMIUM'] ?? '/usr/bin/chromium', ...process.env},
    });
    const {categories, audits} = JSON.parse(readFileSync(report, 'utf8')) as {
      categories: Record<string, {title: string; score: number}>;
      audits: Record<string, {title: string; score: number | null; displayValue?: string}>;
    };
    for (const {title, score} of Object.values(categories)) console.log(`${title}: ${score}`);
    for (const {title, score, displayValue = ''} of Object.values(audits))
      if (score !== null && score < 1) console.log(`  ${title}: ${score} ${displayValue}`);
    return Object.fromEntries(Object.values(categories).map(({title, score}) => [title, score]));
  } finally {
    rmSync(work, {recursive: true});
  }
}
