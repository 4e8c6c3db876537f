/** Steps of the reference workload on tfjs-node: stock tfjs, this library, and PyTorch, two threads each. */
import {pytorch, tfjs} from './contenders';
import type {MeasureGroup} from './figure';
import {runInterleaved} from './interleaved/run';
import {withStartPoint} from './start_point';
import {checkLosses, checkStart, compare, fasterOf} from './step_figures';

const backend = 'tensorflow';

export const measure: MeasureGroup = ({rounds = 10, python}) =>
  withStartPoint(async (startPoint) => {
    const [full, lisa] = [
      {backend, trained: 'full', project: false},
      {backend, trained: 'lisa', project: true},
    ] as const;
    const peer = {python, startPoint, threads: 2, trained: 'lisa'} as const;
    const run = await runInterleaved(
      {
        stock: await tfjs('stock tfjs, full', {...full, variant: 'stock'}),
        full: await tfjs('this library, full', {...full, variant: 'none'}),
        checkpoints: await tfjs('this library, full, checkpoints', {...full, variant: 'auto'}),
        owlore: await tfjs('this library, OwLore, 2 of 8 blocks', {...lisa, variant: 'none'}),
        owloreCheckpoints: await tfjs('this library, OwLore, 2 of 8 blocks, checkpoints', {
          ...lisa,
          variant: 'auto',
        }),
        pytorch: pytorch('PyTorch LISA, 2 of 8 blocks', peer),
        pytorchSleeps: pytorch('PyTorch LISA, 2 of 8 blocks, waiting threads sleep', {
          ...peer,
          sleeps: true,
        }),
      },
      rounds,
    );
    checkStart(run);
    checkLosses(run, ['full', 'stock', 'checkpoints']);
    checkLosses(run, ['owlore', 'owloreCheckpoints']);
    checkLosses(run, ['pytorch', 'pytorchSleeps']);
    return compare(run, rounds, [
      {
        name: 'W1 step on tensorflow, full: time, against stock tfjs-node',
        ...{above: 'full', below: 'stock'},
        goal: {atMost: 0.6},
      },
      {
        name: 'W1 step on tensorflow, full, checkpoints: time, against stock tfjs-node',
        ...{above: 'checkpoints', below: 'stock'},
      },
      {
        name: 'W1 step on tensorflow, OwLore with 2 of 8 blocks on: time, against PyTorch LISA, 2 threads each',
        ...{above: 'owlore', below: fasterOf(run, 'pytorch', 'pytorchSleeps')},
        goal: {atMost: 1.5},
      },
    ]);
  });
