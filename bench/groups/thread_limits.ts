/** Where threads can gain nothing: steps of models of a few dozen units, and steps beside two processes that use both processors. */
import {ordinary, tfjs} from '../contenders/contenders';
import {runInterleaved} from '../harness/run';
import {withBusyProcesses} from '../harness/scaling';
import {shapeOf} from '../harness/workload';
import type {GroupResult, GroupSettings, MeasureGroup} from './group';
import {checkLosses, compare, together} from './step_figures';

/** As fast as on one thread; two runs of the same differ by so much. */
const AS_FAST = {atLeast: 0.97};

/** Of the speed of one thread beside the same processes. */
const BESIDE_OTHERS = {atLeast: 0.9};

export const measure: MeasureGroup = async ({tiny, rounds = tiny ? 1 : 7}) => {
  const small = await measureSmall({tiny, rounds});
  const beside = await withBusyProcesses(2, () => measureBeside({tiny, rounds}));
  return together(rounds, small, beside);
};

type Settings = Required<Pick<GroupSettings, 'tiny' | 'rounds'>>;

async function measureSmall({tiny, rounds}: Settings): Promise<GroupResult> {
  const turns = {warmUp: 2, steps: 1};
  const model = (title: string, steps: number, threads: number) =>
    ordinary(`${title}, ${named(threads)}`, {title, steps: tiny ? 2 : steps}, threads, turns);
  const llama = (threads: number) =>
    tfjs(
      `LLaMA of width 32, ${named(threads)}`,
      {shape: shapeOf({tiny: true}), backend: 'wasm', variant: 'none', trained: 'full', project: false, threads}, // prettier-ignore
      {warmUp: tiny ? 1 : 100, steps: tiny ? 1 : 30},
    );
  const [dense, gru] = ['regression on 24 features: six layers of 24', 'time series of 96 points: GRU 32'] as const; // prettier-ignore
  const run = await runInterleaved(
    {
      dense: await model(dense, 200, 1),
      dense2: await model(dense, 200, 2),
      gru: await model(gru, 10, 1),
      gru2: await model(gru, 10, 2),
      llama: await llama(1),
      llama2: await llama(2),
    },
    rounds,
  );
  const pairs = [
    {title: dense, above: 'dense', below: 'dense2'},
    {title: gru, above: 'gru', below: 'gru2'},
    {title: 'LLaMA of width 32', above: 'llama', below: 'llama2'},
  ] as const;
  for (const {above, below} of pairs) checkLosses(run, [above, below]);
  return compare(
    run,
    rounds,
    pairs.map(({title, ...pair}) => ({
      ...pair,
      name: `Small models on wasm, ${title}: speed of two threads, against one`,
      goal: AS_FAST,
    })),
  );
}

async function measureBeside({tiny, rounds}: Settings): Promise<GroupResult> {
  const shape = shapeOf({tiny});
  const contender = (threads: number) =>
    tfjs(
      `W1 beside two busy processes, ${named(threads)}`,
      {shape, backend: 'wasm', variant: 'none', trained: 'full', project: false, threads},
      {warmUp: tiny ? 1 : 2, steps: tiny ? 1 : 2},
    );
  const run = await runInterleaved(
    {beside: await contender(1), beside2: await contender(2)},
    rounds,
  );
  checkLosses(run, ['beside', 'beside2']);
  return compare(run, rounds, [
    {
      name: 'W1 step on wasm, full, beside two busy processes: speed of two threads, against one',
      ...{above: 'beside', below: 'beside2'},
      goal: BESIDE_OTHERS,
    },
  ]);
}

function named(threads: number): string {
  return threads === 1 ? '1 thread' : `${threads} threads`;
}
