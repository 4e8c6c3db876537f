/** Steps of the reference workload on wasm: stock tfjs, this library, PyTorch and jax-js, one thread each. */
import {jax, pytorch, tfjs} from '../contenders/contenders';
import type {MeasureGroup} from './group';
import {runInterleaved} from '../harness/run';
import {shapeOf} from '../harness/workload';
import {withStartPoint} from '../contenders/start_point';
import {checkLosses, checkStart, compare} from './step_figures';

const backend = 'wasm';

/** A step with stock kernels takes as long as a whole round of the others. */
const others = {warmUp: 2, steps: 3};

export const measure: MeasureGroup = ({tiny, rounds = 3, python}) => {
  const shape = shapeOf({tiny});
  return withStartPoint(shape, async (startPoint) => {
    const [full, lisa] = [
      {shape, backend, trained: 'full', project: false},
      {shape, backend, trained: 'lisa', project: true},
    ] as const;
    const run = await runInterleaved(
      {
        stock: await tfjs('stock tfjs, full', {...full, variant: 'stock'}, {warmUp: 1}),
        full: await tfjs('this library, full', {...full, variant: 'none'}, others),
        checkpoints: await tfjs(
          'this library, full, checkpoints',
          {...full, variant: 'auto'},
          others,
        ),
        relaxedSimd: await tfjs(
          'this library, full, relaxed SIMD',
          {...full, variant: 'none', relaxedSimd: true},
          others,
        ),
        owlore: await tfjs(
          'this library, OwLore, 2 of 8 blocks',
          {...lisa, variant: 'none'},
          others,
        ),
        owloreRelaxedSimd: await tfjs(
          'this library, OwLore, 2 of 8 blocks, relaxed SIMD',
          {...lisa, variant: 'none', relaxedSimd: true},
          others,
        ),
        owloreCheckpoints: await tfjs(
          'this library, OwLore, 2 of 8 blocks, checkpoints',
          {...lisa, variant: 'auto'},
          others,
        ),
        pytorch: pytorch(
          'PyTorch, full, 1 thread',
          {shape, python, startPoint, threads: 1, trained: 'full'},
          others,
        ),
        jax: await jax('jax-js, full', shape, startPoint, others),
      },
      rounds,
    );
    checkStart(run);
    checkLosses(run, ['full', 'stock', 'checkpoints', 'relaxedSimd', 'pytorch', 'jax']);
    checkLosses(run, ['owlore', 'owloreCheckpoints', 'owloreRelaxedSimd']);
    return compare(run, rounds, [
      {
        name: 'W1 step on wasm, full: speed, against stock tfjs',
        ...{above: 'stock', below: 'full'},
        goal: {atLeast: 10},
      },
      {
        name: 'W1 step on wasm, full, relaxed SIMD: speed, against stock tfjs',
        ...{above: 'stock', below: 'relaxedSimd'},
      },
      {
        name: 'W1 step on wasm, OwLore with 2 of 8 blocks on: speed, against stock tfjs, full',
        ...{above: 'stock', below: 'owlore'},
        goal: {atLeast: 16},
      },
      {
        name: 'W1 step on wasm, OwLore with 2 of 8 blocks on, relaxed SIMD: speed, against stock tfjs, full',
        ...{above: 'stock', below: 'owloreRelaxedSimd'},
      },
      {
        name: 'W1 step on wasm, full: time, against PyTorch, one thread each',
        ...{above: 'full', below: 'pytorch'},
        goal: {atMost: 3},
      },
      {
        name: 'W1 step on wasm, full: speed, against jax-js',
        ...{above: 'jax', below: 'full'},
        goal: {atLeast: 1.5},
      },
      {
        name: 'W1 step on wasm, full: wasm memory, against jax-js',
        ...{above: 'full', below: 'jax'},
        of: ({memory}) => memory.wasm ?? NaN,
        goal: {atMost: 0.25},
      },
      {
        name: 'W1 step on wasm, full: memory of the process, against jax-js',
        ...{above: 'full', below: 'jax'},
        of: ({memory}) => memory.resident ?? NaN,
        goal: {atMost: 0.25},
      },
    ]);
  });
};
