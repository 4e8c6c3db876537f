/** Steps of SmolLM2-135M on tfjs-node with 3 of 30 blocks and the embedding on: OwLore here, LISA in PyTorch, two threads each. */
import {existsSync} from 'node:fs';
import {pytorchModel, smollm2} from '../contenders/contenders';
import {runInterleaved} from '../harness/run';
import type {GroupResult, MeasureGroup} from './group';
import {checkStart, compare, type StepMeasurements} from './step_figures';

const shapes = [
  {batch: 4, length: 128},
  {batch: 1, length: 512},
];
const training = {on: [5, 15, 25], learningRate: 1e-5};

export const measure: MeasureGroup = async ({rounds = 10, python, model}) => {
  if (model === undefined || !existsSync(model)) {
    throw new Error('give --model, the folder of SmolLM2-135M-Instruct');
  }
  const all: GroupResult[] = [];
  for (const shape of shapes) {
    const title = `${shape.batch} × ${shape.length}`;
    const options = {...shape, ...training, folder: model};
    const ours = (checkpoint: 'auto' | 'none') =>
      smollm2(`OwLore, ${title}, ${checkpoint === 'auto' ? 'checkpoints' : 'none'}`, {
        ...options,
        ...{checkpoint, backend: 'tensorflow'},
      });
    const theirs = (checkpoints: boolean) =>
      pytorchModel(`PyTorch LISA, ${title}, ${checkpoints ? 'checkpoints' : 'none'}`, python, {
        ...options,
        ...{checkpoints, threads: 2},
      });
    const run = await runInterleaved(
      {
        auto: await ours('auto'),
        none: await ours('none'),
        pytorchCheckpoints: theirs(true),
        pytorchNone: theirs(false),
      },
      rounds,
    );
    checkStart(run);
    all.push(
      compare(run, rounds, [
        {
          name: `SmolLM2 step on tensorflow, ${title} tokens, checkpoints: time, against PyTorch LISA with checkpoints`,
          ...{above: 'auto', below: 'pytorchCheckpoints'},
          goal: {atMost: 0.9},
        },
        {
          name: `SmolLM2 step on tensorflow, ${title} tokens, none: time, against PyTorch LISA without`,
          ...{above: 'none', below: 'pytorchNone'},
          goal: {atMost: 1.1},
        },
      ]),
    );
  }
  const steps = Object.assign(
    {},
    ...all.map(({measured}, i) =>
      Object.fromEntries(
        Object.entries((measured as unknown as StepMeasurements).steps).map(([name, step]) => [
          `${name}${i}`,
          step,
        ]),
      ),
    ),
  ) as StepMeasurements['steps'];
  return {
    figures: all.flatMap(({figures}) => figures),
    measured: {rounds, steps},
    skipped: all.flatMap(({skipped = []}) => skipped),
  };
};
