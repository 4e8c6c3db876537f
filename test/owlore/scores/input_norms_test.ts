import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {installKernelsForBackend} from '../../../src/kernels/install_for_backend';
import {declareProducts} from '../../../src/kernels/products';
import {PackedWeight} from '../../../src/model/packed_weight';
import {InputNorms} from '../../../src/owlore/scores/input_norms';
import {describeBackends} from '../../support/backends';
import {toTensor} from '../../support/fixtures';
import {buildMlp, readMlp} from './mlp_fixture';

/** The default, orthogonal, needs chained ops, which tfjs-core alone does not have. */
const recurrentInitializer = 'glorotUniform';

/** A linear map written with raw ops; its kernel has the shape that `map` wants. */
class RawLinear extends tfl.layers.Layer {
  private kernel!: ReturnType<tfl.layers.Layer['addWeight']>;

  constructor(
    private readonly kernelShape: number[],
    private readonly units: number,
    private readonly map: (x: tf.Tensor, kernel: tf.Tensor) => tf.Tensor,
  ) {
    super({});
  }

  override build(inputShape: number[]): void {
    const initializer = tfl.initializers.ones();
    this.kernel = this.addWeight('kernel', this.kernelShape, 'float32', initializer);
    super.build(inputShape);
  }

  override computeOutputShape(inputShape: number[]): number[] {
    return [...inputShape.slice(0, -1), this.units];
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const x = Array.isArray(inputs) ? inputs[0]! : inputs;
    return tf.tidy(() => this.map(x, this.kernel.read()));
  }

  static get className(): string {
    return 'RawLinear';
  }
}

/** The norms that meet weight `index` of `layer`, in a model that is this layer, given `x`. */
async function normsOf(
  layer: tfl.layers.Layer,
  x: tf.Tensor,
  {index = 0, mask}: {index?: number; mask?: tf.Tensor} = {},
): Promise<number[]> {
  const input = tfl.input({shape: x.shape.slice(1)});
  const model = tfl.model({inputs: input, outputs: layer.apply(input) as tfl.SymbolicTensor});
  const weight = layer.weights[index]!.read();
  const norms = new InputNorms([weight]);
  norms.watch(() => tf.tidy(() => void model.predictOnBatch(x)), mask);
  const norm = norms.of(weight)!;
  expect(norm.shape).to.deep.equal(weight.shape);
  const values = [...(await norm.data())];
  norm.dispose();
  norms.dispose();
  return values;
}

/** Sums of some tens of squares in float32 are good to about 1e-6. */
function expectNear(actual: readonly number[], expected: readonly number[]): void {
  expect(actual).to.have.length(expected.length);
  expected.forEach((value, i) => expect(actual[i]).to.be.closeTo(value, 1e-5 * (1 + value)));
}

/** ‖x_j‖ of the columns, by the plain loop. */
function columnNorms(x: readonly number[][]): number[] {
  return x[0]!.map((_, j) => Math.hypot(...x.map((row) => row[j]!)));
}

const spread = (norms: readonly number[], width: number) =>
  norms.flatMap((norm) => Array<number>(width).fill(norm));
const repeat = (norms: readonly number[], times: number) =>
  Array.from({length: times}, () => norms).flat();
const random = (shape: number[]) => tf.randomNormal(shape, 0, 1, 'float32', 1);

describeBackends('InputNorms', (backend) => {
  beforeEach(() => {
    tf.engine().startScope();
  });

  afterEach(() => {
    tf.engine().endScope();
  });

  for (const name of ['mlp_mean', 'mlp_flatten']) {
    const fixture = readMlp(name);

    it(`has the norms of ${name}`, async () => {
      const model = buildMlp(fixture);
      const ids = toTensor(fixture.tensors.get('ids')!);
      const {rtol, atol, rms} = fixture.tolerance.norms;
      let squares = 0;
      let count = 0;
      for (const layer of model.layers.filter(({name}) => name.startsWith('block'))) {
        const kernel = layer.weights[0]!.read();
        const norms = new InputNorms([kernel]);
        norms.watch(() => tf.tidy(() => void model.predictOnBatch(ids)));
        const norm = norms.of(kernel)!;
        expect(norm.shape).to.deep.equal(kernel.shape);
        const actual = await norm.data();
        const expected = fixture.tensors.get(`norm.${layer.name}`)!.values;
        expected.forEach((value, j) => {
          const difference = actual[j * kernel.shape[1]!]! - value;
          expect(Math.abs(difference)).to.be.at.most(atol + rtol * Math.abs(value));
          squares += difference ** 2;
          count++;
        });
        norm.dispose();
        norms.dispose();
      }
      expect(Math.sqrt(squares / count)).to.be.at.most(rms);
      ids.dispose();
      model.dispose();
    });
  }

  const [rows, size, units] = [6, 4, 3];
  const layouts: Record<string, [number[], (x: tf.Tensor, w: tf.Tensor) => tf.Tensor]> = {
    'x·W': [[size, units], (x, w) => tf.matMul(x, w)],
    'x·Wᵀ': [[units, size], (x, w) => tf.matMul(x, w, false, true)],
    '(xᵀ)ᵀ·W': [[size, units], (x, w) => tf.matMul(tf.transpose(x), w, true)],
    '(W·xᵀ)ᵀ': [[units, size], (x, w) => tf.transpose(tf.matMul(w, x, false, true))],
    '(Wᵀ·xᵀ)ᵀ': [[size, units], (x, w) => tf.transpose(tf.matMul(w, x, true, true))],
    '(W·transpose(x))ᵀ': [[units, size], (x, w) => tf.transpose(tf.matMul(w, tf.transpose(x)))],
    'x·transpose(W)': [[units, size], (x, w) => tf.matMul(x, tf.transpose(w))],
    'x·reshape(W)': [[size, units], (x, w) => tf.matMul(x, tf.reshape(w, [size, units]))],
    'x·clone(cast(W))': [[size, units], (x, w) => tf.matMul(x, tf.clone(tf.cast(w, 'float32')))],
    'x·split(W)': [
      [size, units],
      (x, w) =>
        tf.concat(
          tf.split(w, units, 1).map((part) => tf.matMul(x, part)),
          1,
        ),
    ],
    'x·unstack(W)': [
      [units, size],
      (x, w) =>
        tf.stack(
          tf.unstack(w).map((row) => tf.dot(x, row)),
          1,
        ),
    ],
    'batched x·tile(W)': [
      [size, units],
      (x, w) =>
        tf.squeeze(tf.matMul(tf.expandDims(x, 1), tf.tile(tf.expandDims(w, 0), [rows, 1, 1])), [1]),
    ],
    'x·slices(W)': [
      [size, units],
      (x, w) =>
        tf.concat(
          [tf.slice(w, [0, 0], [size, 1]), tf.slice(w, [0, 1], [size, units - 1])].map((part) =>
            tf.matMul(x, part as tf.Tensor2D),
          ),
          1,
        ),
    ],
    'batched x·W': [[size, units], (x, w) => tf.squeeze(tf.matMul(tf.expandDims(x, 1), w), [1])],
    'batched x·W, one W for all': [
      [1, size, units],
      (x, w) => tf.squeeze(tf.matMul(tf.expandDims(x, 1), w), [1]),
    ],
    'einsum x, W': [[size, units], (x, w) => tf.einsum('bi,io->bo', x, w)],
    'einsum with blanks': [[size, units], (x, w) => tf.einsum(' bi, io -> bo', x, w)],
    'einsum W, x': [[units, size], (x, w) => tf.einsum('oi,bi->bo', w, x)],
  };
  for (const [name, [shape, map]] of Object.entries(layouts)) {
    if (name.startsWith('einsum') && backend === 'wasm') continue; // wasm has no Einsum
    if (name.endsWith('blanks') && backend === 'tensorflow') continue; // and there blanks are labels
    it(`sees the kernel in ${name}, and leaves out the rows that the mask does`, async () => {
      const x = random([rows, size]);
      const values = (await x.array()) as number[][];
      const inKernel = (norms: number[]) =>
        shape.at(-2) === size ? spread(norms, units) : repeat(norms, units);
      const layer = () => new RawLinear(shape, units, map);
      expectNear(await normsOf(layer(), x), inKernel(columnNorms(values)));
      const mask = tf.tensor2d([1, 0, 1, 1, 0, 0], [rows, 1]);
      const counted = values.filter((_, row) => [0, 2, 3].includes(row));
      expectNear(await normsOf(layer(), x, {mask}), inKernel(columnNorms(counted)));
    });
  }

  it('sees each expert of a batched kernel with its own input', async () => {
    const x = random([rows, 2, size]);
    const layer = new RawLinear([2, size, units], units, (x, w) =>
      tf.transpose(tf.matMul(tf.transpose(x, [1, 0, 2]), w), [1, 0, 2]),
    );
    const values = (await x.array()) as number[][][];
    const perExpert = [0, 1].map((e) => columnNorms(values.map((row) => row[e]!)));
    expectNear(await normsOf(layer, x), spread(perExpert.flat(), units));
  });

  it('sees a batched kernel that is repeated for batches of batches', async () => {
    const x = random([2, 3, 5, size]);
    const kernel = tf.ones([2, 1, size, units]);
    const values = (await x.array()) as number[][][][];
    const expected = values.flatMap((batches) => columnNorms(batches.flat()));
    const norms = await normsIn(() => tf.matMul(x, kernel), kernel);
    expectNear(norms!, spread(expected, units));
  });

  /** The norms that meet `weight` in `forward`; undefined if it is multiplied with no input. */
  async function normsIn(forward: () => tf.Tensor, weight: tf.Tensor): Promise<number[] | null> {
    const norms = new InputNorms([weight]);
    norms.watch(() => tf.tidy(() => void forward()));
    const norm = norms.of(weight);
    norms.dispose();
    return norm ? [...(await norm.data())] : null;
  }

  if (backend !== 'wasm') {
    it('sees the kernel of an einsum, its features in any order and places', async () => {
      const [x, kernel] = [random([2, 3, 4, 2]), tf.ones([5, 2, 4])];
      const places = ((await x.array()) as number[][][][]).flat();
      const expected = [0, 1].flatMap((j) =>
        columnNorms(places.map((is) => is.map((js) => js[j]!))),
      );
      const norms = await normsIn(() => tf.einsum('btij,oji->bto', x, kernel), kernel);
      expectNear(norms!, repeat(expected, 5));
    });

    it('sees the kernel of an einsum that has one row', async () => {
      const [x, kernel] = [random([size]), tf.ones([size, units])];
      const norms = await normsIn(() => tf.einsum('i,io->o', x, kernel), kernel);
      expectNear(norms!, spread([...(await x.data())].map(Math.abs), units));
    });

    it('takes neither an einsum of a kernel alone for a product, nor one with a scalar', async () => {
      const kernel = tf.ones([size, units]);
      expect(await normsIn(() => tf.einsum('io->oi', kernel), kernel)).to.equal(null);
      expect(await normsIn(() => tf.einsum(',io->io', tf.scalar(2), kernel), kernel)).to.equal(
        null,
      );
    });
  }

  it('sees the products inside of a kernel that declares them', async () => {
    const kernelName = 'TestTwoProducts';
    declareProducts(kernelName, [
      ['x', 'v'],
      ['y', 'w'],
    ]);
    const kernelFunc: tf.KernelFunc = ({inputs: {x, v, y, w}}) =>
      tf.add(tf.matMul(x as tf.Tensor, v as tf.Tensor), tf.matMul(y as tf.Tensor, w as tf.Tensor));
    tf.registerKernel({kernelName, backendName: backend, kernelFunc});
    const [x, y] = [random([rows, size]), random([rows, units])];
    const [v, w] = [tf.ones([size, units]), tf.ones([units, units])];
    const run = (): tf.Tensor => tf.engine().runKernel(kernelName, {x, v, y, w});
    try {
      for (const [weight, input] of [
        [v, x],
        [w, y],
      ] as const) {
        const expected = spread(columnNorms((await input.array()) as number[][]), units);
        expectNear((await normsIn(run, weight))!, expected);
      }
    } finally {
      tf.unregisterKernel(kernelName, backend);
    }
  });

  it('sees a kernel that is packed, and keeps nothing of one that it is not asked for', async () => {
    await installKernelsForBackend();
    const layer = tfl.layers.dense({units, useBias: false, inputShape: [size]});
    const model = tfl.sequential({layers: [layer]});
    const packed = new PackedWeight(layer.weights[0]!, null);
    packed.pack(1);
    const x = random([rows, size]);
    const {numTensors} = tf.memory();
    const none = new InputNorms([]);
    none.watch(() => tf.tidy(() => void model.predictOnBatch(x)));
    expect(tf.memory().numTensors).to.equal(numTensors);
    const norms = new InputNorms([packed.source]);
    norms.watch(() => tf.tidy(() => void model.predictOnBatch(x)));
    const norm = norms.of(packed.source)!;
    expect(norm.shape).to.deep.equal([size, units]);
    const expected = spread(columnNorms((await x.array()) as number[][]), units);
    expectNear([...(await norm.data())], expected);
    norms.dispose();
    model.dispose();
  });

  it('sees no convolution over channels first, whose features are along another axis', async () => {
    if (backend !== 'cpu') return; // others do not compute it
    const [x, filter] = [tf.ones<tf.Rank.R4>([1, 2, 3, 3]), tf.ones<tf.Rank.R4>([1, 1, 2, 4])];
    const norms = new InputNorms([filter]);
    norms.watch(() => tf.tidy(() => void tf.conv2d(x, filter, 1, 'same', 'NCHW')));
    expect(norms.of(filter)).to.equal(undefined);
    norms.watch(() =>
      tf.tidy(() => void tf.conv2d(tf.transpose(x, [0, 2, 3, 1]), filter, 1, 'same')),
    );
    expectNear([...(await norms.of(filter)!.data())], new Array<number>(8).fill(3));
    norms.dispose();
  });

  it('adds the rows of a weight that is used twice', async () => {
    const x = random([rows, size]);
    const layer = new RawLinear([size, size], size, (x, w) =>
      tf.add(tf.matMul(x, w), tf.matMul(tf.mul(x, 2), w, false, true)),
    );
    const norms = columnNorms((await x.array()) as number[][]);
    const expected = norms.flatMap((input) => norms.map((other) => Math.hypot(input, 2 * other)));
    expectNear(await normsOf(layer, x), expected);
  });

  it('adds the rows of a layer that is used twice', async () => {
    const x = random([rows, size]);
    const shared = tfl.layers.dense({units: size, useBias: false, kernelInitializer: 'identity'});
    const input = tfl.input({shape: [size]});
    const output = shared.apply(shared.apply(input)) as tfl.SymbolicTensor;
    const twice = tfl.model({inputs: input, outputs: output});
    const norms = columnNorms((await x.array()) as number[][]);
    const expected = norms.map((norm) => Math.SQRT2 * norm);
    expectNear(await normsOf(twice, x), spread(expected, size));
  });

  it('counts all rows where there is not one for each token of the mask', async () => {
    const x = random([4, size]);
    const layer = tfl.layers.dense({units, useBias: false});
    const norms = columnNorms((await x.array()) as number[][]);
    expectNear(await normsOf(layer, x, {mask: tf.zeros([4, 3])}), spread(norms, units));
  });

  it('sees a dense layer on sequences, and leaves out the rows that the mask does', async () => {
    const x = random([2, 3, size]);
    const mask = tf.tensor2d([1, 1, 0, 1, 0, 0], [2, 3], 'int32');
    const values = ((await x.array()) as number[][][]).flat();
    const dense = () => tfl.layers.dense({units});
    expectNear(await normsOf(dense(), x), spread(columnNorms(values), units));
    const counted = values.filter((_, row) => [0, 1, 3].includes(row));
    expectNear(await normsOf(dense(), x, {mask}), spread(columnNorms(counted), units));
  });

  it('sees both kernels of recurrent layers', async () => {
    const x = random([2, 5, size]);
    const inputs = columnNorms(((await x.array()) as number[][][]).flat());
    for (const [gates, make] of [
      [1, tfl.layers.simpleRNN],
      [3, tfl.layers.gru],
      [4, tfl.layers.lstm],
    ] as const) {
      const layer = make({units, recurrentInitializer, returnSequences: true});
      expectNear(await normsOf(layer, x), spread(inputs, gates * units));
      const states = (await (layer.apply(x) as tf.Tensor).array()) as number[][][];
      const fed = columnNorms(states.flatMap((sequence) => sequence.slice(0, -1)));
      // the last gate of a GRU is given the state as far as the reset gate lets it through
      const last = gates === 3 ? columnNorms(await statesLetThrough(layer, x, states)) : fed;
      const expected = fed.flatMap((norm, i) => [
        ...spread([norm], (gates - 1) * units),
        ...spread([last[i]!], units),
      ]);
      expectNear(await normsOf(layer, x, {index: 1}), expected);
    }
  });

  /** r ∘ h of a GRU for each position of each sequence but the first, with the reset gate r of that position and the state h before it. */
  async function statesLetThrough(
    layer: tfl.layers.Layer,
    x: tf.Tensor,
    states: readonly number[][][],
  ): Promise<number[][]> {
    const [kernel, recurrent, bias] = (await Promise.all(
      layer.getWeights().map((weight) => weight.array()),
    )) as [number[][], number[][], number[]];
    const sequences = (await x.array()) as number[][][];
    const product = (row: readonly number[], matrix: readonly number[][], column: number): number =>
      row.reduce((sum, value, i) => sum + value * matrix[i]![column]!, 0);
    return states.flatMap((sequence, i) =>
      sequence.slice(0, -1).map((state, before) =>
        state.map((value, unit) => {
          const column = units + unit; // after those of the update gate
          const input = product(sequences[i]![before + 1]!, kernel, column) + bias[column]!;
          const gate = 0.2 * (input + product(state, recurrent, column)) + 0.5;
          return Math.min(1, Math.max(0, gate)) * value;
        }),
      ),
    );
  }

  it('sees the layers inside wrappers', async () => {
    const x = random([2, 5, size]);
    const inputs = columnNorms(((await x.array()) as number[][][]).flat());
    const each = tfl.layers.timeDistributed({layer: tfl.layers.dense({units})});
    expectNear(await normsOf(each, x), spread(inputs, units));
    const lstm = tfl.layers.lstm({units, recurrentInitializer, returnSequences: true});
    const both = tfl.layers.bidirectional({layer: lstm, mergeMode: 'concat'});
    for (const index of [0, 3]) {
      expectNear(await normsOf(both, x, {index}), spread(inputs, 4 * units));
    }
  });

  it('takes no product of two weights for an input', () => {
    const [a, b] = [tf.variable(tf.ones([2, 3])), tf.variable(tf.ones([3, 2]))];
    const norms = new InputNorms([a, b]);
    norms.watch(() => tf.matMul(a, b).dispose());
    expect(norms.of(a)).to.equal(undefined);
    norms.dispose();
    tf.dispose([a, b]);
  });
});

/** Where a convolution's window starts, from the definition of the paddings. */
function firstPlace(padding: 'same' | 'valid', size: number, kernel: number, walk: Walk): number {
  if (padding === 'valid') return 0;
  const reach =
    (Math.ceil(size / walk.stride) - 1) * walk.stride + (kernel - 1) * walk.dilation + 1;
  const missing = reach - size;
  return -Math.floor((walk.isShifted ? missing : Math.max(missing, 0)) / 2);
}

interface Walk {
  stride: number;
  dilation: number;
  /** Whether a padding may be negative. tfjs's own kernels over three axes take it so, against the definition. */
  isShifted?: boolean;
}

/** ‖X_j‖ of the columns of im2col, entry by entry. `x` `[batch, depth, height, width, channels]`. */
function patchNorms(
  x: number[][][][][],
  kernel: [number, number, number],
  padding: 'same' | 'valid',
  walk: Walk,
): number[] {
  const sizes = [x[0]!.length, x[0]![0]!.length, x[0]![0]![0]!.length];
  const channels = x[0]![0]![0]![0]!.length;
  const steps = sizes.map((size, i) =>
    padding === 'same'
      ? Math.ceil(size / walk.stride)
      : Math.floor((size - (kernel[i]! - 1) * walk.dilation - 1) / walk.stride) + 1,
  );
  const first = sizes.map((size, i) => firstPlace(padding, size, kernel[i]!, walk));
  const norms: number[] = [];
  for (const offset of grid(kernel)) {
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (const image of x) {
        for (const step of grid(steps)) {
          const [plane, row, column] = step.map(
            (at, i) => first[i]! + at * walk.stride + offset[i]! * walk.dilation,
          );
          sum += (image[plane!]?.[row!]?.[column!]?.[c] ?? 0) ** 2;
        }
      }
      norms.push(Math.sqrt(sum));
    }
  }
  return norms;
}

/** All places of a grid of three axes, the last of which goes round first. */
function grid(sizes: readonly number[]): number[][] {
  return sizes.reduce<number[][]>(
    (places, size) =>
      places.flatMap((place) => Array.from({length: size}, (_, at) => [...place, at])),
    [[]],
  );
}

/** The same of `[batch, height, width, channels]`. */
function planePatchNorms(
  x: number[][][][],
  kernel: [number, number],
  padding: 'same' | 'valid',
  walk: Walk,
): number[] {
  return patchNorms(
    x.map((image) => [image]),
    [1, ...kernel],
    padding,
    walk,
  );
}

describeBackends('InputNorms of convolutions', (backend) => {
  beforeEach(() => tf.engine().startScope());
  afterEach(() => tf.engine().endScope());

  const kernelSize: [number, number] = [3, 2];
  const walks: Walk[] = [
    {stride: 1, dilation: 1},
    {stride: 2, dilation: 1},
    {stride: 1, dilation: 2},
  ];
  for (const padding of ['same', 'valid'] as const) {
    for (const walk of walks) {
      it(`${padding}, stride ${walk.stride}, dilation ${walk.dilation}`, async () => {
        const x = random([2, 7, 6, 2]);
        const values = (await x.array()) as number[][][][];
        const args = {kernelSize, padding, strides: walk.stride, dilationRate: walk.dilation};
        const expected = planePatchNorms(values, kernelSize, padding, walk);
        const conv = tfl.layers.conv2d({...args, filters: 3, activation: 'relu'});
        expectNear(await normsOf(conv, x), spread(expected, 3));
        const depthwise = tfl.layers.depthwiseConv2d({...args, depthMultiplier: 2});
        // tfjs-layers drops the dilation of a depthwise convolution.
        const undilated = planePatchNorms(values, kernelSize, padding, {...walk, dilation: 1});
        expectNear(await normsOf(depthwise, x), spread(undilated, 2));

        const sequence = tf.reshape(x, [2, 42, 2]);
        const flat = [values.map((image) => image.flat())].flat().map((row) => [row]);
        const conv1d = tfl.layers.conv1d({
          filters: 3,
          kernelSize: 3,
          padding,
          strides: walk.stride,
          dilationRate: walk.dilation,
        });
        const across = planePatchNorms(flat, [1, 3], padding, walk);
        expectNear(await normsOf(conv1d, sequence), spread(across, 3));
      });
    }
  }

  it('sees a kernel that is larger than its input', async () => {
    const x = random([2, 2, 1, 2]);
    const values = (await x.array()) as number[][][][];
    const layer = tfl.layers.conv2d({filters: 3, kernelSize: [5, 4], padding: 'same'});
    const expected = planePatchNorms(values, [5, 4], 'same', {stride: 1, dilation: 1});
    expectNear(await normsOf(layer, x), spread(expected, 3));
  });

  it('sees both kernels of a separable convolution', async () => {
    const x = random([2, 5, 5, 2]);
    const values = (await x.array()) as number[][][][];
    const layer = tfl.layers.separableConv2d({filters: 3, kernelSize: 3});
    const expected = planePatchNorms(values, [3, 3], 'valid', {stride: 1, dilation: 1});
    expectNear(await normsOf(layer, x), expected);
    const pointwise = await normsOf(layer, x, {index: 1});
    const depthwise = layer.weights[0]!.read() as tf.Tensor4D;
    const between = await tf.depthwiseConv2d(x as tf.Tensor4D, depthwise, 1, 'valid').array();
    expectNear(pointwise, spread(columnNorms(between.flat(2)), 3));
  });

  it('sees a fused depthwise convolution', async () => {
    const [x, filter] = [random([2, 5, 5, 2]) as tf.Tensor4D, tf.ones<tf.Rank.R4>([3, 3, 2, 1])];
    const norms = new InputNorms([filter]);
    norms.watch(() =>
      tf.tidy(() => {
        const fused = {x, filter, strides: 1, pad: 'valid', activation: 'relu'} as const;
        tf.fused.depthwiseConv2d(fused);
      }),
    );
    const expected = planePatchNorms(await x.array(), [3, 3], 'valid', {stride: 1, dilation: 1});
    expectNear([...(await norms.of(filter)!.data())], expected);
    norms.dispose();
  });

  it('leaves out the places that the mask does', async () => {
    const x = random([2, 4, 4, 2]);
    const mask = tf.greater(tf.randomUniform([2, 16], 0, 1, 'float32', 2), 0.5);
    const counted = tf.mul(x, tf.reshape(mask, [2, 4, 4, 1]));
    for (const layer of [
      () => tfl.layers.conv2d({filters: 3, kernelSize: 2}),
      () => tfl.layers.depthwiseConv2d({kernelSize: 3}),
      () => tfl.layers.conv2dTranspose({filters: 3, kernelSize: 2}),
    ]) {
      expectNear(await normsOf(layer(), x, {mask}), await normsOf(layer(), counted));
    }
  });

  // tfjs cannot slice five axes on webgpu, and has no shader for it on webgl
  if (backend !== 'webgpu' && backend !== 'webgl') {
    for (const padding of ['same', 'valid'] as const) {
      for (const stride of [1, 2]) {
        it(`sees a convolution over three axes: ${padding}, stride ${stride}`, async () => {
          const x = random([2, 4, 5, 3, 2]);
          const values = (await x.array()) as number[][][][][];
          for (const kernelSize of [
            [1, 1, 1],
            [2, 3, 2],
            [4, 4, 3],
          ] as Array<[number, number, number]>) {
            const layer = tfl.layers.conv3d({filters: 3, kernelSize, strides: stride, padding});
            const expected = patchNorms(values, kernelSize, padding, {
              ...{stride, dilation: 1, isShifted: backend !== 'tensorflow'},
            });
            expectNear(await normsOf(layer, x), spread(expected, 3));
          }
        });
      }
    }
  }

  it('sees a transposed convolution, its features are the input channels', async () => {
    const x = random([2, 4, 4, 2]);
    const layer = tfl.layers.conv2dTranspose({filters: 3, kernelSize: 2});
    const inputs = columnNorms(((await x.array()) as number[][][][]).flat(2));
    expectNear(await normsOf(layer, x), repeat(inputs, 12));
  });
});
