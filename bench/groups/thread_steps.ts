/** Steps of the reference workload on wasm on one thread and on two, against what two processes of this machine get; PyTorch on two. */
import {pytorch, tfjs} from '../contenders/contenders';
import {withStartPoint} from '../contenders/start_point';
import {runInterleaved} from '../harness/run';
import {measureScaling} from '../harness/scaling';
import {shapeOf} from '../harness/workload';
import type {Figure} from '../results/figure';
import type {MeasureGroup} from './group';
import {checkLosses, checkStart, compare} from './step_figures';

const backend = 'wasm';
const turns = {warmUp: 2, steps: 3};

/** How much of what two processes get two threads are to get. */
const PART = 0.88;

export const measure: MeasureGroup = ({tiny, rounds = 3, python}) => {
  const shape = shapeOf({tiny});
  return withStartPoint(shape, async (startPoint) => {
    const before = await measureScaling({rounds, seconds: tiny ? 0.2 : 3});
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
    const run = await runInterleaved(
      {
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
      },
      rounds,
    );
    checkStart(run);
    checkLosses(run, ['full', 'full2', 'stock', 'checkpoints', 'checkpoints2', 'pytorch2']);
    checkLosses(run, ['owlore', 'owlore2', 'owloreCheckpoints', 'owloreCheckpoints2']);
    const after = await measureScaling({rounds, seconds: tiny ? 0.2 : 3});
    const products = (before.products + after.products) / 2;
    const reading = (before.reading + after.reading) / 2;
    const found = compare(run, rounds, [
      ...(['full', 'checkpoints', 'owlore', 'owloreCheckpoints'] as const).map((name) => ({
        name: `W1 step on wasm, ${titles[name]}: speed of two threads, against one`,
        ...({above: name, below: `${name}2`} as const),
        goal: {atLeast: PART * products},
      })),
      {
        name: 'W1 step on wasm, full: speed of two threads, against stock tfjs',
        ...({above: 'stock', below: 'full2'} as const),
      },
      {
        name: 'W1 step on wasm, OwLore with 2 of 8 blocks on: speed of two threads, against stock tfjs, full',
        ...({above: 'stock', below: 'owlore2'} as const),
      },
      {
        name: 'W1 step on wasm, full: time, against PyTorch, two threads each',
        ...({above: 'full2', below: 'pytorch2'} as const),
      },
    ]);
    const machine: Figure[] = [
      {
        name: 'this machine: products of two processes, against one',
        value: products,
        unit: 'times',
      },
      {name: 'this machine: memory read by two processes, against one', value: reading, unit: 'times'}, // prettier-ignore
    ];
    return {...found, figures: [...machine, ...found.figures]};
  });
};
