/** Steps of the reference workload on wasm on one thread and on two, against what two processes of this machine get; PyTorch and jax-js on two. */
import {jax, pytorch, tfjs} from '../contenders/contenders';
import {withStartPoint} from '../contenders/start_point';
import {runInterleaved} from '../harness/run';
import {shapeOf} from '../harness/workload';
import type {MeasureGroup} from './group';
import {besideScaling} from './scaling_figures';
import {checkLosses, checkStart, compare} from './step_figures';

const backend = 'wasm';
const turns = {warmUp: 2, steps: 3};

/** How much of what two processes get two threads are to get. */
const PART = 0.88;

/** Two processors share so little that two processes run products so many times as fast as one. */
const FULL_SCALING = 1.9;

export const measure: MeasureGroup = ({tiny, rounds = 3, python}) => {
  const shape = shapeOf({tiny});
  return withStartPoint(shape, async (startPoint) => {
    const [full, lisa] = [
      {shape, backend, trained: 'full', project: false},
      {shape, backend, trained: 'lisa', project: true},
    ] as const;
    const settings = {
      full: {...full, variant: 'none'},
      checkpoints: {...full, variant: 'auto'},
      owlore: {...lisa, variant: 'none'},
      owloreCheckpoints: {...lisa, variant: 'auto'},
    } as const;
    const titles = {
      full: 'full',
      checkpoints: 'full, checkpoints',
      owlore: 'OwLore, 2 of 8 blocks',
      owloreCheckpoints: 'OwLore, 2 of 8 blocks, checkpoints',
    };
    const contender = (name: keyof typeof settings, threads: number) =>
      tfjs(`this library, ${titles[name]}, ${threads} thread${threads > 1 ? 's' : ''}`, {...settings[name], threads}, turns); // prettier-ignore
    const contenders = {
      stock: await tfjs('stock tfjs, full', {...full, variant: 'stock'}, {warmUp: 1}),
      full: await contender('full', 1),
      full2: await contender('full', 2),
      checkpoints: await contender('checkpoints', 1),
      checkpoints2: await contender('checkpoints', 2),
      owlore: await contender('owlore', 1),
      owlore2: await contender('owlore', 2),
      owloreCheckpoints: await contender('owloreCheckpoints', 1),
      owloreCheckpoints2: await contender('owloreCheckpoints', 2),
      pytorch2: pytorch(
        'PyTorch, full, 2 threads',
        {shape, python, startPoint, threads: 2, trained: 'full'},
        turns,
      ),
      jax2: await jax('jax-js, full, 2 workers', shape, startPoint, turns, 2),
    };
    const {
      scaling,
      machine,
      result: run,
    } = await besideScaling('W1', {tiny, rounds}, () => runInterleaved(contenders, rounds));
    checkStart(run);
    checkLosses(run, ['full', 'full2', 'stock', 'checkpoints', 'checkpoints2', 'pytorch2', 'jax2']);
    checkLosses(run, ['owlore', 'owlore2', 'owloreCheckpoints', 'owloreCheckpoints2']);
    const found = compare(run, rounds, [
      ...(['full', 'checkpoints', 'owlore', 'owloreCheckpoints'] as const).map((name) => ({
        name: `W1 step on wasm, ${titles[name]}: speed of two threads, against one`,
        ...({above: name, below: `${name}2`} as const),
        goal: {atLeast: PART * scaling.products},
      })),
      {
        name: 'W1 step on wasm, full: speed of two threads, against stock tfjs',
        ...({above: 'stock', below: 'full2'} as const),
        ...(scaling.products >= FULL_SCALING && {goal: {atLeast: 21}}),
      },
      {
        name: 'W1 step on wasm, OwLore with 2 of 8 blocks on: speed of two threads, against stock tfjs, full',
        ...({above: 'stock', below: 'owlore2'} as const),
        ...(scaling.products >= FULL_SCALING && {goal: {atLeast: 26}}),
      },
      {
        name: 'W1 step on wasm, full: time, against PyTorch, two threads each',
        ...({above: 'full2', below: 'pytorch2'} as const),
      },
      {
        name: 'W1 step on wasm, full: speed of two threads, against jax-js with two workers',
        ...({above: 'jax2', below: 'full2'} as const),
      },
    ]);
    return {...found, figures: [...machine, ...found.figures]};
  });
};
