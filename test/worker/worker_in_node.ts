/** The worker's program in Node, behind a channel as a page's worker is. */
import * as tf from '@tensorflow/tfjs-core';
import {readFileSync} from 'node:fs';
import type {WorkerLike} from '../../src/worker/link';
import {serve, type Surroundings} from '../../src/worker/serve';
import {FineTuning} from '../../src/worker/fine_tuning';
import type {HistoryEntry, StepEvent} from '../../src/worker/events';
import type {ResumeOptions, SentOptions, WorkerBackend} from '../../src/worker/options';

/** Takes the backend that the test has selected. */
const asSelected: NonNullable<Surroundings['selectBackend']> = async () => ({
  backend: tf.getBackend() as WorkerBackend,
  threads: 1,
});

/** Ends the meters of workers, which would count each tensor of all tests that follow. */
function endMeters(): void {
  for (const watched of ['trackTensor', 'removeDataId'])
    Reflect.deleteProperty(tf.engine(), watched);
}

/** A worker whose program runs in this thread; ending it closes the channel alone. The memory of those before it is not measured any more. */
export function workerInNode(surroundings: Surroundings = {}): WorkerLike {
  const {port1: page, port2: worker} = new MessageChannel();
  endMeters();
  serve(
    {
      postMessage: (message) => worker.postMessage(message),
      addEventListener: (_, listener) => {
        worker.addEventListener('message', listener as unknown as EventListener);
        worker.start();
      },
    },
    {selectBackend: asSelected, ...surroundings},
  );
  return {
    postMessage: (message: unknown) => page.postMessage(message),
    terminate: () => {
      page.close();
      endMeters();
    },
    addEventListener: (type: string, listener: unknown) => {
      if (type !== 'message') return;
      page.addEventListener('message', listener as EventListener);
      page.start();
    },
  } as WorkerLike;
}

const file = (name: string): Blob =>
  new Blob([readFileSync(new URL(`../../demo/model/${name}`, import.meta.url))]);

/** The demo's model. */
export const model = Object.fromEntries(
  ['config.json', 'model.safetensors', 'tokenizer.json'].map((name) => [name, file(name)]),
);

export const text = Array.from(
  {length: 60},
  (_, i) => `The whale number ${i} was white and swam ${i * 7} miles in the sea.`,
).join('\n');

/** A small training. */
export const options: SentOptions = {
  ...{model, data: {'whales.txt': text}},
  ...{steps: 6, batchSize: 2, maxLength: 24, interval: 2, refreshInterval: 3, rank: 8, gamma: 3},
  ...{evaluateEvery: 3, sampleEvery: 3, prompts: ['The whale'], run: null},
};

/** Starts a training in Node, with all that it says of its steps. */
export function start(
  changes: Partial<SentOptions> = {},
  surroundings: Surroundings = {},
): {training: FineTuning; said: HistoryEntry[]} {
  return heard(new FineTuning(workerInNode(surroundings), 'start', [{...options, ...changes}]));
}

/** Goes on with a run. */
export function resume(
  run: string,
  options: Omit<ResumeOptions, 'worker'> = {},
): {training: FineTuning; said: HistoryEntry[]} {
  return heard(new FineTuning(workerInNode(), 'resumeRun', [run, options]));
}

function heard(training: FineTuning): {training: FineTuning; said: HistoryEntry[]} {
  const said: HistoryEntry[] = [];
  for (const event of ['step', 'heldOut', 'sample', 'period', 'rate'] as const)
    training.on(event, (data) => said.push({event, data} as HistoryEntry));
  return {training, said};
}

/** What was said, without what depends on time, and on the other models that are in memory. */
export function timeless(said: readonly HistoryEntry[]): unknown[] {
  return said.map(({event, data}) => {
    const {seconds: _s, memory: _m, peakBytes: _p, ...rest} = data as Partial<StepEvent>;
    return {event, data: rest};
  });
}
