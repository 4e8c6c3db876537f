/**
 * SmolLM2-135M on wasm on one thread and on two, against what two processes of this machine get: steps of OwLore with 5 of its blocks on and
 * a frozen embedding, beside LISA in PyTorch; and tokens of one text and of eight, and of one beside two processes that use both processors.
 */
import {generation, pytorchModel, smollm2} from '../contenders/contenders';
import {runInterleaved} from '../harness/run';
import {withBusyProcesses} from '../harness/scaling';
import type {MeasureGroup} from './group';
import {besideScaling} from './scaling_figures';
import {checkLosses, checkStart, compare, together} from './step_figures';

/** How much of what two processes get in products, or in reading memory, two threads are to get. */
const PARTS = {step: 0.85, texts: 0.85, text: 0.8};

/** Of the speed of one thread beside the same processes. */
const BESIDE_OTHERS = {atLeast: 0.9};

export const measure: MeasureGroup = async ({tiny, rounds = 5, python, model: folder}) => {
  const options = {
    ...{folder: folder!, batch: tiny ? 1 : 4, length: tiny ? 16 : 128, rank: tiny ? 16 : 128},
    ...{on: [3, 9, 15, 21, 27], frozenEmbedding: true, learningRate: 1e-5},
    matmulPrecision: 'highest',
  } as const;
  const step = async (threads: number) => ({
    ...(await smollm2(
      `OwLore, 5 of 30 blocks, 4 × 128 tokens, ${named(threads)}`,
      {...options, backend: 'wasm', gradientCheckpointing: 'auto'},
      threads,
    )),
    warmUp: 1,
  });
  // until then the JavaScript of a token is being compiled, on the other processor
  const turns = {warmUp: tiny ? 2 : 40, steps: tiny ? 1 : 8};
  // longer turns, as it takes some tokens until short calls are one thread's alone
  const longer = {...turns, steps: 5 * turns.steps};
  const texts = (count: number, threads: number, {warmUp, steps} = turns) =>
    generation(
      `a token of ${count === 1 ? 'a text' : `${count} texts`}, ${named(threads)}`,
      {folder: folder!, texts: count, tokens: warmUp + rounds * steps},
      threads,
      {warmUp, steps},
    );
  const steps = {
    step: await step(1),
    step2: await step(2),
    pytorch2: {
      ...pytorchModel('PyTorch LISA, 5 of 30 blocks, 2 threads', python, {
        ...options,
        ...{checkpoints: true, threads: 2},
      }),
      warmUp: 1,
    },
  };
  const tokens = {
    text: await texts(1, 1),
    text2: await texts(1, 2),
    texts: await texts(8, 1),
    texts2: await texts(8, 2),
  };
  const {scaling, machine, result} = await besideScaling('SmolLM2', {tiny, rounds: tiny ? 1 : 3}, async () => [
    await runInterleaved(steps, rounds),
    await runInterleaved(tokens, rounds),
  ] as const); // prettier-ignore
  const [trained, written] = result;
  const beside = await withBusyProcesses(2, async () =>
    runInterleaved({text: await texts(1, 1, longer), text2: await texts(1, 2, longer)}, rounds),
  );
  checkLosses(beside, ['text', 'text2']);
  checkStart(trained);
  checkLosses(trained, ['step', 'step2']);
  checkLosses(written, ['text', 'text2']);
  checkLosses(written, ['texts', 'texts2']);
  const found = together(
    rounds,
    compare(trained, rounds, [
      {
        name: 'SmolLM2 step on wasm, 4 × 128 tokens: speed of two threads, against one',
        ...{above: 'step', below: 'step2'},
        goal: {atLeast: PARTS.step * scaling.products},
      },
      {
        name: 'SmolLM2 step on wasm, 4 × 128 tokens: time, against PyTorch LISA, two threads each',
        ...{above: 'step2', below: 'pytorch2'},
      },
    ]),
    compare(written, rounds, [
      {
        name: 'SmolLM2 generation on wasm, one text: speed of two threads, against one',
        ...{above: 'text', below: 'text2'},
        goal: {atLeast: PARTS.text * scaling.reading},
      },
      {
        name: 'SmolLM2 generation on wasm, eight texts: speed of two threads, against one',
        ...{above: 'texts', below: 'texts2'},
        goal: {atLeast: PARTS.texts * scaling.products},
      },
    ]),
  );
  // whose steps have the names of those that have the processors for themselves
  const {figures} = compare(beside, rounds, [
    {
      name: 'SmolLM2 generation on wasm, one text, beside two busy processes: speed of two threads, against one',
      ...{above: 'text', below: 'text2'},
      goal: BESIDE_OTHERS,
    },
  ]);
  return {...found, figures: [...machine, ...found.figures, ...figures]};
};

function named(threads: number): string {
  return threads === 1 ? '1 thread' : `${threads} threads`;
}
