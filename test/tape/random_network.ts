import fc from 'fast-check';
import * as tf from '@tensorflow/tfjs-core';
import {recomputeGrad} from '../../src/tape/recompute';
import {Choices, fit, networkOps} from './network_ops';

/** One step: an op, or a part of the network that may be a checkpoint. */
type Instruction =
  {op: string; choices: number[]} | {part: Instruction[]; outputs: number[]; tidy: boolean};

export interface Network {
  instructions: Instruction[];
  /** Which tensors the loss is made of. */
  results: number[];
  /** By variable: whether it is trained. */
  trainable: boolean[];
  seed: number;
}

const variableShapes = [[3, 4], [4], [], [4, 4], [2, 3, 4], [1, 4, 4, 2], [3, 4], [1]];

/** A tensor of a network has at most so many elements: those that are larger are cut. */
const maxSize = 120;

/** Networks of all ops of `networkOps`. */
export function arbitraryNetwork(): fc.Arbitrary<Network> {
  const ops = Object.keys(networkOps);
  const numbers = (size: number): fc.Arbitrary<number[]> =>
    fc.array(fc.nat(999), {minLength: size, maxLength: size});
  const op = fc.record({op: fc.constantFrom(...ops), choices: numbers(12)});
  const part = (inside: fc.Arbitrary<Instruction>): fc.Arbitrary<Instruction> =>
    fc.record({
      part: fc.array(inside, {maxLength: 5}),
      outputs: fc.array(fc.nat(999), {minLength: 1, maxLength: 3}),
      tidy: fc.boolean(),
    });
  const inner = fc.oneof({weight: 4, arbitrary: op}, {weight: 1, arbitrary: part(op)});
  const outer = fc.oneof({weight: 2, arbitrary: op}, {weight: 1, arbitrary: part(inner)});
  return fc.record({
    instructions: fc.array(outer, {maxLength: 12, size: 'max'}),
    results: fc.array(fc.nat(999), {minLength: 1, maxLength: 4}),
    trainable: fc.array(
      fc.integer({min: 0, max: 3}).map((n) => n > 0),
      {
        minLength: variableShapes.length,
        maxLength: variableShapes.length,
      },
    ),
    seed: fc.nat(999),
  });
}

/** A network with its variables, which are to be disposed of. */
export class RandomNetwork {
  readonly variables: tf.Variable[];
  private readonly initial: tf.Tensor[];
  private readonly zero = tf.scalar(0);
  private readonly average = tf.variable(this.zero, false);
  private readonly data: tf.Tensor;

  constructor(private readonly network: Network) {
    const {seed, trainable} = network;
    this.initial = variableShapes.map((shape, i) =>
      tf.randomUniform(shape, -1, 1, 'float32', 10 * seed + i),
    );
    this.variables = this.initial.map((value, i) => tf.variable(value, trainable[i]));
    this.data = tf.randomUniform([3, 4], -1, 1, 'float32', 10 * seed + 9);
  }

  /** The loss; with `checkpoints` the parts of the network are checkpoints, else they are plain functions. */
  loss(checkpoints: boolean): tf.Scalar {
    const {instructions, results} = this.network;
    const pool = [...this.variables, this.data];
    this.extend(pool, instructions, checkpoints);
    // Mostly of what was made last.
    const chosen = results.map((i) => pool.at(-1 - (i % Math.min(pool.length, 5)))!);
    const means = chosen.map((x) => (x.rank === 0 ? x : tf.mean(x)));
    return means.reduce((sum, mean) => tf.add(sum, mean)) as tf.Scalar;
  }

  /** Gives all variables the values that they had at the start, in buffers of their own. */
  reset(): void {
    tf.tidy(() => {
      this.variables.forEach((variable, i) => variable.assign(tf.add(this.initial[i]!, 0)));
      this.average.assign(this.zero);
    });
  }

  dispose(): void {
    tf.dispose([...this.variables, ...this.initial, this.average, this.zero, this.data]);
  }

  private extend(pool: tf.Tensor[], instructions: Instruction[], checkpoints: boolean): void {
    for (const instruction of instructions) {
      const made =
        'op' in instruction
          ? this.runOp(pool, instruction)
          : this.runPart(pool, instruction, checkpoints);
      pool.push(...made);
    }
  }

  private runOp(pool: tf.Tensor[], {op, choices}: Extract<Instruction, {op: string}>): tf.Tensor[] {
    const choose = new Choices(choices);
    // The last tensors more often than others, so that networks become deep.
    const any = (): tf.Tensor => choose.of(choose.flag() ? pool.slice(-3) : pool);
    const {average, variables} = this;
    const variable = (): tf.Variable => choose.of(variables);
    const made = networkOps[op]!({
      choose,
      any,
      of: (shape) => fit(any(), shape),
      variable,
      average,
    });
    return [made].flat().map((x) => (x.size > maxSize ? fit(x, [maxSize]) : x));
  }

  private runPart(
    pool: tf.Tensor[],
    {part, outputs, tidy}: Extract<Instruction, {part: unknown}>,
    checkpoints: boolean,
  ): tf.Tensor[] {
    // A second run may not see what has been made since.
    const visible = [...pool];
    // Of what the part reads one tensor is its input; the others it reads as a closure.
    const body = (input: tf.Tensor): tf.Tensor[] => {
      const inner = [...visible, input];
      this.extend(inner, part, checkpoints);
      return outputs.map((i) => inner.at(-1 - (i % Math.min(inner.length, 4)))!);
    };
    const run = (input: tf.Tensor): tf.Tensor[] =>
      tidy ? tf.tidy(() => body(input)) : body(input);
    const input = pool.at(-1)!;
    return checkpoints ? recomputeGrad(run)(input) : run(input);
  }
}
