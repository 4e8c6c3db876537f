/**
 * Steps of SmolLM2-135M on tfjs-node with 3 of 30 blocks and the embedding on: OwLore here, LISA in PyTorch, two threads each; in
 * float32, and with products of matrices rounded to bfloat16 on both sides.
 */
import {existsSync} from 'node:fs';
import {pytorchModel, smollm2} from '../contenders/contenders';
import {runInterleaved} from '../harness/run';
import {canRoundProducts, type MatmulPrecision} from '../../src/cli/matmul_precision';
import type {GroupResult, MeasureGroup} from './group';
import type {Smollm2Options} from '../contenders/smollm2_contender';
import {checkStart, compare, LOSS_TOLERANCE, type StepMeasurements} from './step_figures';

const shapes = [
  {batch: 4, length: 128},
  {batch: 1, length: 512},
];
const tinyShapes = [{batch: 1, length: 16}];
const training = {on: [5, 15, 25], learningRate: 1e-5};

/**
 * The largest relative difference of two losses at the start: in float32 as elsewhere; numbers that are rounded to 8 bits differ by up
 * to 2^-8, and a mean over all tokens by a fraction of that.
 */
const lossTolerance: Readonly<Record<MatmulPrecision, number>> = {
  highest: LOSS_TOLERANCE,
  medium: 2 ** -10,
};

export const measure: MeasureGroup = async ({tiny, rounds = 10, python, model}) => {
  if (model === undefined || !existsSync(model)) {
    throw new Error('give --model, the folder of SmolLM2-135M-Instruct');
  }
  const all: GroupResult[] = [];
  const precisions: MatmulPrecision[] = [
    'highest',
    ...(canRoundProducts() ? ['medium' as const] : []),
  ];
  for (const matmulPrecision of precisions) {
    for (const shape of tiny ? tinyShapes : shapes) {
      all.push(
        await measureSteps(
          {...shape, ...training, rank: tiny ? 16 : 128, matmulPrecision, folder: model},
          python,
          rounds,
        ),
      );
    }
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
    skipped: [
      ...all.flatMap(({skipped = []}) => skipped),
      ...(precisions.includes('medium')
        ? []
        : ['bfloat16: TensorFlow rounds to it only on processors with AMX']),
    ],
  };
};

/** Steps of one shape in one precision, in turns. */
async function measureSteps(
  options: Omit<Smollm2Options, 'backend' | 'gradientCheckpointing'>,
  python: string,
  rounds: number,
): Promise<GroupResult> {
  const {batch, length, matmulPrecision} = options;
  const isRounded = matmulPrecision === 'medium';
  const shape = `${batch} × ${length}`;
  const title = `${shape}${isRounded ? ', bfloat16 products' : ''}`;
  const ours = (checkpoint: 'auto' | 'none') =>
    smollm2(`OwLore, ${title}, ${checkpoint === 'auto' ? 'checkpoints' : 'none'}`, {
      ...options,
      ...{gradientCheckpointing: checkpoint, backend: 'tensorflow'},
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
  checkStart(run, lossTolerance[matmulPrecision]);
  const of = `SmolLM2 step on tensorflow, ${shape} tokens${isRounded ? ', products in bfloat16' : ''}`;
  return compare(run, rounds, [
    {
      name: `${of}, checkpoints: time, against PyTorch LISA with checkpoints`,
      ...{above: 'auto', below: 'pytorchCheckpoints'},
      goal: {atMost: 0.9},
    },
    {
      name: `${of}, none: time, against PyTorch LISA without`,
      ...{above: 'none', below: 'pytorchNone'},
      goal: {atMost: 1.1},
    },
  ]);
}
