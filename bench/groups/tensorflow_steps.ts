/** Steps of the reference workload on tfjs-node: stock tfjs, this library, and PyTorch, two threads each. */
import {pytorch, tfjs, type PytorchOptions} from '../contenders/contenders';
import type {MeasureGroup} from './group';
import type {ContenderOptions} from '../harness/contender';
import {runInterleaved} from '../harness/run';
import {shapeOf} from '../harness/workload';
import {withStartPoint} from '../contenders/start_point';
import {checkLosses, checkStart, compare, fasterOf} from './step_figures';
import type {TfjsOptions} from '../contenders/tfjs_contender';

/** Graphs come after 16 runs of a kernel, and JavaScript is compiled by then as well. */
const turns = {warmUp: 18};

export const measure: MeasureGroup = ({tiny, rounds = 20, python}) => {
  const shape = shapeOf({tiny});
  return withStartPoint(shape, async (startPoint) => {
    const inTfjs = (
      title: string,
      options: Omit<TfjsOptions, 'shape' | 'backend'>,
    ): Promise<ContenderOptions> => tfjs(title, {shape, backend: 'tensorflow', ...options}, turns);
    const full = {trained: 'full', project: false} as const;
    const owlore = {trained: 'lisa', project: true} as const;
    const inPytorch = (
      title: string,
      options: Pick<PytorchOptions, 'trained' | 'sleeps'>,
    ): ContenderOptions =>
      pytorch(title, {shape, python, startPoint, threads: 2, ...options}, turns);
    const run = await runInterleaved(
      {
        stock: await inTfjs('stock tfjs, full', {...full, variant: 'stock'}),
        full: await inTfjs('this library, full', {...full, variant: 'none'}),
        checkpoints: await inTfjs('this library, full, checkpoints', {...full, variant: 'auto'}),
        owlore: await inTfjs('this library, OwLore, 2 of 8 blocks', {...owlore, variant: 'none'}),
        owloreCheckpoints: await inTfjs('this library, OwLore, 2 of 8 blocks, checkpoints', {
          ...owlore,
          variant: 'auto',
        }),
        pytorch: inPytorch('PyTorch, full', {trained: 'full'}),
        pytorchSleeps: inPytorch('PyTorch, full, waiting threads sleep', {
          trained: 'full',
          sleeps: true,
        }),
        lisa: inPytorch('PyTorch LISA, 2 of 8 blocks', {trained: 'lisa'}),
        lisaSleeps: inPytorch('PyTorch LISA, 2 of 8 blocks, waiting threads sleep', {
          trained: 'lisa',
          sleeps: true,
        }),
      },
      rounds,
    );
    checkStart(run);
    checkLosses(run, ['full', 'stock', 'checkpoints', 'pytorch', 'pytorchSleeps']);
    checkLosses(run, ['owlore', 'owloreCheckpoints']);
    checkLosses(run, ['lisa', 'lisaSleeps']);
    return compare(run, rounds, [
      {
        name: 'W1 step on tensorflow, full: time, against stock tfjs-node',
        ...{above: 'full', below: 'stock'},
        goal: {atMost: 0.6},
      },
      {
        name: 'W1 step on tensorflow, full: time, against PyTorch, 2 threads each',
        ...{above: 'full', below: fasterOf(run, 'pytorch', 'pytorchSleeps')},
      },
      {
        name: 'W1 step on tensorflow, full, checkpoints: time, against stock tfjs-node',
        ...{above: 'checkpoints', below: 'stock'},
      },
      {
        name: 'W1 step on tensorflow, OwLore with 2 of 8 blocks on: time, against PyTorch LISA, 2 threads each',
        ...{above: 'owlore', below: fasterOf(run, 'lisa', 'lisaSleeps')},
        goal: {atMost: 1.5},
      },
    ]);
  });
};
