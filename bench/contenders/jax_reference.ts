/**
 * The reference workload in jax-js: the same model, loss and Adam as W1 of `workload.ts`, the whole step in one `jit`, as its
 * documentation advises. Adam is written out: jax-js has its optimizers in a package of its own, which npm lacks.
 *
 * Every function here takes over the arrays that it is given, as is the rule in jax-js: `x.ref` is for who needs `x` again.
 */
import {
  blockUntilReady,
  jit,
  nn,
  numpy as np,
  tree,
  valueAndGrad,
  type Array as JaxArray,
} from '@jax-js/jax';
import type {HostTensor} from '../../src/llama';
import type {Shape} from '../harness/workload';

/** By their Hugging Face names; the kernels of linear maps are `[in, out]`. */
type Weights = Record<string, JaxArray>;

// A type and not an interface, which jax-js does not take for a tree of arrays.
// eslint-disable-next-line @typescript-eslint/consistent-type-definitions
type State = {weights: Weights; first: Weights; second: Weights};

type Step = (
  state: State,
  /** What Adam's moments are multiplied with, as they start from zero. */
  correction1: JaxArray,
  correction2: JaxArray,
  ids: JaxArray,
  labels: JaxArray,
) => [loss: JaxArray, state: State];

export interface JaxOptions {
  shape: Shape;
  learningRate: number;
  /** Added to the root of Adam's second moment. */
  epsilon: number;
}

const NORM_EPSILON = 1e-5;
const ROTARY_BASE = 10_000;
const [BETA1, BETA2] = [0.9, 0.999];

export class JaxTraining {
  private state: State;
  private steps = 0;
  private readonly ids: JaxArray;
  private readonly labels: JaxArray;
  private readonly jitted: Step;

  /** @param start From `withStartPoint`: weights as Hugging Face names and stores them, `ids` and `labels`. */
  constructor(start: ReadonlyMap<string, HostTensor>, options: JaxOptions) {
    const {ids, labels, ...tensors} = Object.fromEntries(start);
    this.ids = tokens(ids!);
    this.labels = tokens(labels!);
    const weights = Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => [name, weight(name, tensor)]),
    );
    const zeros = (): Weights => tree.map((x: JaxArray) => np.zerosLike(x.ref), weights);
    this.state = {weights, first: zeros(), second: zeros()};
    this.jitted = jit(trainingStep(options));
  }

  get parameters(): number {
    return Object.values(this.state.weights).reduce((sum, {size}) => sum + size, 0);
  }

  /** One step; its loss. */
  async step(): Promise<number> {
    this.steps++;
    const [correction1, correction2] = [BETA1, BETA2].map((beta) => 1 / (1 - beta ** this.steps));
    const [loss, state] = this.jitted(
      this.state,
      np.array(correction1!),
      np.array(correction2!),
      this.ids.ref,
      this.labels.ref,
    );
    this.state = state;
    // the weights, too: workers may have the loss before them
    await blockUntilReady([loss, state]);
    return loss.item();
  }
}

function tokens({shape, values}: HostTensor): JaxArray {
  return np.array(Int32Array.from(values), {shape});
}

function weight(name: string, {shape, values}: HostTensor): JaxArray {
  const isKernel = shape.length === 2 && name !== 'model.embed_tokens.weight';
  const [out, inputs] = shape as [number, number];
  if (!isKernel) return np.array(Float32Array.from(values), {shape});
  const transposed = values.map((_, i) => values[(i % out) * inputs + Math.floor(i / out)]!);
  return np.array(transposed, {shape: [inputs, out]});
}

/** Loss and gradients of the batch, and a step of Adam. */
function trainingStep({shape, learningRate, epsilon}: JaxOptions): Step {
  const lossAndGradients = valueAndGrad((weights: Weights, ids: JaxArray, labels: JaxArray) =>
    crossEntropy(logits(weights, ids, shape), labels, shape.vocabulary),
  );
  return ({weights, first, second}, correction1, correction2, ids, labels) => {
    const [loss, gradients] = lossAndGradients(tree.ref(weights), ids, labels);
    const state: State = {weights: {}, first: {}, second: {}};
    for (const [name, gradient] of Object.entries(gradients)) {
      const m = first[name]!.mul(BETA1).add(gradient.ref.mul(1 - BETA1));
      const v = second[name]!.mul(BETA2).add(np.square(gradient).mul(1 - BETA2));
      const root = np.sqrt(v.ref.mul(correction2.ref)).add(epsilon);
      const change = m.ref.mul(correction1.ref).div(root).mul(learningRate);
      state.weights[name] = weights[name]!.sub(change);
      state.first[name] = m;
      state.second[name] = v;
    }
    correction1.dispose();
    correction2.dispose();
    return [loss, state];
  };
}

function crossEntropy(logits: JaxArray, labels: JaxArray, vocabulary: number): JaxArray {
  const targets = nn.oneHot(labels.flatten(), vocabulary);
  const rows = labels.size;
  return nn.logSoftmax(logits).mul(targets).sum().div(-rows);
}

/** Of `[batch, length]` ids, one row a position. */
function logits(weights: Weights, ids: JaxArray, shape: Shape): JaxArray {
  const {layers, batch, length, hidden, heads} = shape;
  const width = hidden / heads;
  const table = rotaryTable(length, width);

  const linear = (x: JaxArray, name: string): JaxArray => np.matmul(x, weights[`${name}.weight`]!);
  const norm = (x: JaxArray, name: string): JaxArray => {
    const meanSquare = np.mean(np.square(x.ref), -1, {keepdims: true});
    return x.div(np.sqrt(meanSquare.add(NORM_EPSILON))).mul(weights[`${name}.weight`]!);
  };
  const turned = (x: JaxArray): JaxArray => {
    const [a, b] = np.split(x, 2, -1) as [JaxArray, JaxArray];
    const {cos, sin} = table;
    return np.concatenate(
      [a.ref.mul(cos.ref).sub(b.ref.mul(sin.ref)), b.mul(cos.ref).add(a.mul(sin.ref))],
      -1,
    );
  };
  const attention = (x: JaxArray, name: string): JaxArray => {
    const split = (x: JaxArray): JaxArray => x.reshape([batch, length, heads, width]);
    const q = turned(split(linear(x.ref, `${name}.q_proj`)));
    const k = turned(split(linear(x.ref, `${name}.k_proj`)));
    const v = split(linear(x, `${name}.v_proj`));
    const mixed = causalAttention(q, k, v);
    return linear(mixed.reshape([-1, hidden]), `${name}.o_proj`);
  };
  const mlp = (x: JaxArray, name: string): JaxArray => {
    const gate = nn.silu(linear(x.ref, `${name}.gate_proj`));
    return linear(gate.mul(linear(x, `${name}.up_proj`)), `${name}.down_proj`);
  };

  let x = np.take(weights['model.embed_tokens.weight']!, ids.flatten(), 0);
  for (let layer = 0; layer < layers; layer++) {
    const block = `model.layers.${layer}`;
    x = x.ref.add(attention(norm(x, `${block}.input_layernorm`), `${block}.self_attn`));
    x = x.ref.add(mlp(norm(x, `${block}.post_attention_layernorm`), `${block}.mlp`));
  }
  return linear(norm(x, 'model.norm'), 'lm_head');
}

/** What `nn.dotProductAttention` does, which takes iterators with a `map`: Node 20 has none. All are `[batch, length, heads, width]`. */
function causalAttention(q: JaxArray, k: JaxArray, v: JaxArray): JaxArray {
  const [, length, , width] = q.shape as [number, number, number, number];
  const scores = np.matmul(q.transpose([0, 2, 1, 3]), k.transpose([0, 2, 3, 1]));
  const seen = np.tri(length, length, 0, {dtype: np.bool});
  const masked = np.where(seen, scores.mul(width ** -0.5), -Infinity);
  return np.matmul(nn.softmax(masked), v.transpose([0, 2, 1, 3])).transpose([0, 2, 1, 3]);
}

function rotaryTable(length: number, width: number): {cos: JaxArray; sin: JaxArray} {
  const half = width / 2;
  const angles = Float32Array.from({length: length * half}, (_, i) => {
    const [position, j] = [Math.floor(i / half), i % half];
    return position * ROTARY_BASE ** (-j / half);
  });
  const table = np.array(angles, {shape: [length, 1, half]});
  return {cos: np.cos(table.ref), sin: np.sin(table)};
}
