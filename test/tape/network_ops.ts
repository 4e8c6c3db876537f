import * as tf from '@tensorflow/tfjs-core';

/** The choices of one op of a random network: everything that is open is taken from them, in turn. */
export class Choices {
  private next = 0;

  constructor(private readonly numbers: readonly number[]) {}

  below(count: number): number {
    return this.numbers[this.next++ % this.numbers.length]! % count;
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  flag(): boolean {
    return this.below(2) === 1;
  }
}

/** What an op of a random network may use. */
export interface Operands {
  choose: Choices;
  /** One of the tensors there are, of any shape. */
  any(): tf.Tensor;
  /** One of the tensors there are, brought to a shape if it has another one. */
  of(shape: number[]): tf.Tensor;
  /** One of the variables. */
  variable(): tf.Variable;
  /** A variable that no gradient is asked for, to be assigned to. */
  average: tf.Variable;
}

export type NetworkOp = (operands: Operands) => tf.Tensor | tf.Tensor[];

/** Repeats and cuts the elements of a tensor until they fill `shape`; a tensor of that shape stays what it is. */
export function fit(x: tf.Tensor, shape: number[]): tf.Tensor {
  if (tf.util.arraysEqual(x.shape, shape)) return x;
  const size = tf.util.sizeFromShape(shape);
  let flat: tf.Tensor = tf.reshape(x, [x.size]);
  if (flat.size < size) flat = tf.tile(flat, [Math.ceil(size / flat.size)]);
  if (flat.size > size) flat = tf.slice(flat, [0], [size]);
  return tf.reshape(flat, shape);
}

/** At least one axis: what has none becomes a vector. */
const ranked = (x: tf.Tensor): tf.Tensor => (x.rank === 0 ? tf.reshape(x, [1]) : x);

const unary =
  (op: (x: tf.Tensor) => tf.Tensor): NetworkOp =>
  ({any}) =>
    op(any());

/** Of two tensors, the second broadcast to the first or the other way round. */
const binary =
  (op: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): NetworkOp =>
  ({choose, any, of}) => {
    const a = any();
    const narrow = a.shape.map((length) => (choose.flag() ? length : 1));
    const b = of(choose.of([a.shape, a.shape, narrow, a.shape.slice(1)]));
    return choose.flag() ? op(a, b) : op(b, a);
  };

/** Of two tensors of one shape. */
const alike =
  (op: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): NetworkOp =>
  ({any, of}) => {
    const a = any();
    return op(a, of(a.shape));
  };

const reduction =
  (op: (x: tf.Tensor, axes?: number[], keepDims?: boolean) => tf.Tensor): NetworkOp =>
  ({choose, any}) => {
    const x = any();
    const axes = x.shape.map((_, axis) => axis).filter(() => choose.flag());
    return choose.below(4) === 0 ? op(x) : op(x, axes, choose.flag());
  };

const image = ({choose, of}: Operands, channels: number): tf.Tensor4D =>
  of([choose.of([1, 2]), 4, choose.of([3, 4]), channels]) as tf.Tensor4D;

const positive = (x: tf.Tensor): tf.Tensor => tf.add(tf.square(x), 0.5);

/** Keeps what is exponentiated small: the numbers of a network would grow without bounds. */
const small = (x: tf.Tensor): tf.Tensor => tf.clipByValue(x, -2, 2);

/** x + y + x · closure, whose gradient for y is dy itself. That for x reads the closure, too. */
function custom(x: tf.Tensor, y: tf.Tensor, closure: tf.Variable): tf.Tensor {
  const op = tf.customGrad((...args) => {
    const [a, b, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.GradSaveFunc];
    save([a]);
    return {
      value: tf.add(tf.add(a, b), tf.mul(a, fit(closure, a.shape))),
      gradFunc: (dy: tf.Tensor, [saved]: tf.Tensor[]) => [
        tf.mul(dy, tf.add(saved!, fit(closure, saved!.shape))),
        dy,
      ],
    };
  });
  return op(x, y);
}

/** All kinds of op of random networks. Each takes whatever tensors there are. */
export const networkOps: Record<string, NetworkOp> = {
  add: binary(tf.add),
  sub: binary(tf.sub),
  mul: binary(tf.mul),
  div: binary((a, b) => tf.div(a, positive(b))),
  tanh: unary(tf.tanh),
  relu: unary(tf.relu),
  sigmoid: unary(tf.sigmoid),
  exp: unary((x) => tf.exp(small(x))),
  log: unary((x) => tf.log(positive(x))),
  square: unary((x) => tf.square(small(x))),
  sqrt: unary((x) => tf.sqrt(positive(x))),
  rsqrt: unary((x) => tf.rsqrt(positive(x))),
  neg: unary(tf.neg),
  abs: unary(tf.abs),
  softplus: unary(tf.softplus),
  elu: unary(tf.elu),
  leakyRelu: unary((x) => tf.leakyRelu(x)),
  erf: unary(tf.erf),
  clone: unary(tf.clone),
  unchanged: unary((x) => x),
  softmax: unary((x) => tf.softmax(ranked(x))),
  logSoftmax: unary((x) => tf.logSoftmax(ranked(x))),
  mean: reduction(tf.mean),
  sum: reduction(tf.sum),
  max: reduction(tf.max),
  logSumExp: reduction(tf.logSumExp),
  clipByValue: unary((x) => tf.clipByValue(x, -0.4, 0.6)),

  matMul: ({choose, of}) => {
    const [m, k, n] = [choose.of([1, 2, 3]), choose.of([2, 3, 4]), choose.of([3, 4])];
    const [transposeA, transposeB] = [choose.flag(), choose.flag()];
    const batch = choose.of([[], [2]]);
    const a = of([...batch, ...(transposeA ? [k, m] : [m, k])]);
    const b = of([...batch, ...(transposeB ? [n, k] : [k, n])]);
    return tf.mul(tf.matMul(a, b, transposeA, transposeB), 1 / k);
  },

  // Gradients of these, as those of matMul over a batch, do not get back to the shape of an input that was broadcast.
  maximum: alike(tf.maximum),
  minimum: alike(tf.minimum),
  squaredDifference: alike(tf.squaredDifference),

  matMulSelf: ({choose, of}) => {
    const x = of(
      choose.of([
        [3, 4],
        [4, 4],
        [2, 3, 4],
      ]),
    );
    return choose.flag() ? tf.matMul(x, x, true, false) : tf.matMul(x, x, false, true);
  },

  reshape: ({choose, any}) => {
    const x = any();
    const divisors = [1, 2, 3, 4].filter((divisor) => x.size % divisor === 0);
    const first = choose.of(divisors);
    return tf.reshape(x, choose.of([[first, -1], [-1, first], [x.size], [1, first, -1]]));
  },

  transpose: ({choose, any}) => {
    const x = any();
    const axes = x.shape.map((_, axis) => axis);
    const start = choose.below(Math.max(1, x.rank));
    return tf.transpose(x, choose.flag() ? [...axes.slice(start), ...axes.slice(0, start)] : axes);
  },

  slice: ({choose, any}) => {
    const x = ranked(any());
    const begin = x.shape.map((length) => choose.below(length));
    const size = x.shape.map((length, axis) => 1 + choose.below(length - begin[axis]!));
    return tf.slice(x, begin, size);
  },

  concat: ({choose, any, of}) => {
    const x = ranked(any());
    return tf.concat([x, of(x.shape), choose.flag() ? x : of(x.shape)], choose.below(x.rank));
  },

  stack: ({choose, any, of}) => {
    const x = any();
    return tf.stack([x, of(x.shape)], choose.below(x.rank + 1));
  },

  // The gradient functions of these two fail if there is one part only.
  unstack: ({any}) => {
    const x = any();
    const axis = x.shape.findIndex((length) => length > 1);
    return axis < 0 ? x : tf.unstack(x, axis);
  },

  split: ({choose, any}) => {
    const x = any();
    const axis = x.shape.findIndex((length) => length > 1);
    if (axis < 0) return x;
    const first = 1 + choose.below(x.shape[axis]! - 1);
    return tf.split(x, [first, x.shape[axis]! - first], axis);
  },

  gather: ({choose, any}) => {
    const x = ranked(any());
    const axis = choose.below(x.rank);
    const indices = [0, 1, 2].map(() => choose.below(x.shape[axis]!));
    return tf.gather(x, tf.tensor1d(indices, 'int32'), axis);
  },

  tile: ({choose, any}) => {
    const x = ranked(any());
    return tf.tile(
      x,
      x.shape.map(() => 1 + choose.below(2)),
    );
  },

  pad: ({choose, any}) => {
    const x = ranked(any());
    return tf.pad(
      x,
      x.shape.map(() => [choose.below(2), choose.below(2)] as [number, number]),
      0.5,
    );
  },

  mirrorPad: ({choose, of}) =>
    tf.mirrorPad(
      of([3, 4]),
      [
        [choose.below(2), 1],
        [0, choose.below(2)],
      ],
      'symmetric',
    ),

  where: ({choose, any, of}) => {
    const x = any();
    const flags = Array.from({length: x.size}, () => choose.flag());
    return tf.where(tf.tensor(flags, x.shape, 'bool'), x, of(x.shape));
  },

  // Along another axis its gradient function forgets to transpose back.
  cumsum: ({choose, any}) => {
    const x = ranked(any());
    return tf.cumsum(x, x.rank - 1, choose.flag(), choose.flag());
  },

  conv2d: (operands) => {
    const {choose, of} = operands;
    const channels = choose.of([1, 2]);
    const filter = of([2, choose.of([1, 2]), channels, choose.of([1, 3])]) as tf.Tensor4D;
    const x = image(operands, channels);
    return tf.mul(tf.conv2d(x, filter, choose.of([1, 2]), choose.of(['same', 'valid'])), 0.3);
  },

  depthwiseConv2d: (operands) => {
    const {choose, of} = operands;
    const channels = choose.of([1, 2]);
    const filter = of([2, 2, channels, choose.of([1, 2])]) as tf.Tensor4D;
    return tf.mul(tf.depthwiseConv2d(image(operands, channels), filter, 1, 'same'), 0.3);
  },

  maxPool: (operands) => tf.maxPool(image(operands, 2), 2, operands.choose.of([1, 2]), 'same'),
  avgPool: (operands) => tf.avgPool(image(operands, 2), 2, operands.choose.of([1, 2]), 'valid'),

  layerNorm: ({any, of}) => {
    const x = ranked(any());
    const {mean, variance} = tf.moments(x, -1, true);
    const normal = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 0.1)));
    return tf.add(tf.mul(normal, of(x.shape.slice(-1))), of(x.shape.slice(-1)));
  },

  batchNorm: ({of}) => {
    const variance = positive(of([4]));
    return tf.batchNorm(of([3, 4]), of([4]), variance, of([4]), of([4]), 0.1);
  },

  dropout: ({choose, any}) => tf.dropout(any(), 0.4, undefined, 1 + choose.below(9)),

  customGrad: ({any, of, variable}) => {
    const x = any();
    return custom(x, of(x.shape), variable());
  },

  movingAverage: ({any, average}) => {
    const x = any();
    const before = tf.sub(x, average);
    average.assign(tf.add(tf.mul(average, 0.5), tf.mul(tf.mean(x), 0.5)));
    return tf.add(before, tf.mul(x, average));
  },
};
