import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {backends, describeBackends, thorough} from '../support/backends';
import {numbers} from './data';
import {progress, Trainer, type Contender, type Outcome, type Program} from './program';
import {programs} from './programs';
import {defaultMargins, saveResults, type ProgramResult} from './record';

/*
 * Programs of the kinds that users of tfjs have, each as it was written, with `tf.train.adam`, then with an `OwLoreOptimizer` of
 * default options at the same rate, then with a `LayerSamplingCallback` too. All three start from the same weights and see the same
 * batches. What their users care about must hold: they learn as far, within the program's margin; tensors do not pile up; weights
 * keep their order; and nothing is said that is not this library's own, by the way, and once for an optimizer.
 */

/** Adam must come down to this part of the start, or there is nothing to compare. */
const LEARNED = 0.8;

const isRecording = Boolean(process.env.OWLORE_RECORD);

describeBackends('programs', function (this: Mocha.Suite, backend) {
  const isSlow = backend === 'webgpu' || backend === 'webgl';
  // A recording may take its time, whatever else the machine is doing.
  this.timeout(isRecording ? 0 : isSlow ? 300_000 : 60_000);
  const results: Record<string, ProgramResult> = {};
  afterEach(() => saveResults(backend, results));

  // On cpu they take longest, and differ from wasm in rounding alone; `npx tsx scripts/compatibility.ts` runs all of them everywhere.
  const isShort = isSlow || (backend === 'cpu' && backends.length > 1);
  const isAll = isRecording || (thorough && !isShort);
  const some = programs.filter((program, i) => program.quick ?? (!isShort && i % 6 === 0));
  const chosen = isAll ? programs : some;
  for (const program of chosen) {
    it(program.title, async () => {
      const adam = await run(program, 'Adam');
      expect(adam.outcome.after, 'after Adam').to.be.lessThan(LEARNED * adam.outcome.before);
      const partOf = async (contender: Contender): Promise<number> => {
        const {outcome, lines, optimizers} = await run(program, contender);
        expect(outcome.before, 'the same start').to.be.closeTo(
          adam.outcome.before,
          1e-4 * Math.abs(adam.outcome.before),
        );
        expectQuiet(lines, adam.lines, optimizers);
        return progress(outcome, adam.outcome);
      };
      const result: ProgramResult = {
        optimizer: await partOf('OwLoreOptimizer'),
        sampling: program.noBlocks === undefined ? await partOf('LayerSamplingCallback') : null,
      };
      const {optimizer, sampling} = {...defaultMargins, ...program.margins};
      expect(result.optimizer, "part of Adam's progress").to.be.at.least(1 - optimizer);
      if (result.sampling !== null) {
        expect(result.sampling, "part of Adam's progress, sampled").to.be.at.least(1 - sampling);
      }
      results[program.title] = result;
    });
  }
});

/** A line on the console, and by which of its functions. */
type Line = [method: 'log' | 'info' | 'warn' | 'error', text: string];

/** Runs a program from the same random numbers as ever, and looks at what it leaves. */
async function run(
  program: Program,
  contender: Contender,
): Promise<{outcome: Outcome; lines: Line[]; optimizers: number}> {
  const trainer = new Trainer(contender);
  const {numTensors} = tf.memory();
  const {random} = Math;
  const lines: Line[] = [];
  const methods = ['log', 'info', 'warn', 'error'] as const;
  const before = methods.map((method) => [method, console[method]] as const);
  // Initial weights, shuffled batches and dropout all come from it.
  Math.random = numbers(240518380);
  for (const method of methods) {
    console[method] = (...args: unknown[]) => lines.push([method, args.map(String).join(' ')]);
  }
  try {
    const outcome = await program.run(trainer);
    await trainer.dispose();
    expect(tf.memory().numTensors, 'tensors in the end').to.equal(numTensors);
    return {outcome, lines, optimizers: trainer.optimizers.length};
  } finally {
    Math.random = random;
    for (const [method, original] of before) console[method] = original;
  }
}

/** Nothing was said but what Adam's run said, and by this library's own a line once for each optimizer, and no warnings. */
function expectQuiet(lines: Line[], adamLines: Line[], optimizers: number): void {
  const own = lines.filter(
    ([method, text]) => method === 'info' && /^(OwLore|LayerSampling)/.test(text),
  );
  const others = lines.filter((line) => !own.includes(line));
  expect(others).to.deep.equal(adamLines);
  for (const [, text] of own) {
    const times = own.filter(([, other]) => other === text).length;
    expect(times, `times that it was said: ${text}`).to.be.at.most(optimizers);
  }
}
