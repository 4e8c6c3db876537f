import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {readsSynchronously} from '../../src/kernels/capabilities';
import {startMemoryMeter} from '../../src/memory/meter';
import {sparseCrossEntropy} from '../../src/llama';
import {deferHead} from '../../src/llama/deferred_head';
import {variableGrads} from '../../src/tape/tfjs_gradients';
import {describeBackends} from '../support/backends';
import {Comparison} from '../support/close';
import {withoutComputing} from '../support/without_computing';
import * as composed from '../../tools/composed';

const logits = [
  [1, -2, 0.5],
  [0, 3, 1],
  [2, 2, -1],
  [-1, 0.25, 0],
];
const labels = [2, -100, 0, 1];

/** `[1, count]`: labels from the first to the last of the vocabulary, every fifth not counted. */
function someLabels(count: number, vocab: number): tf.Tensor {
  const spread = Array.from({length: count}, (_, i) => Math.round((i / (count - 1)) * (vocab - 1)));
  return tf.tensor(
    spread.map((label, i) => (i % 5 === 2 ? -100 : label)),
    [1, count],
    'int32',
  );
}

/** −log softmax(row)[label] and its gradient by the row, in double precision. */
function rowLoss(row: readonly number[], label: number): {loss: number; gradient: number[]} {
  const sum = row.reduce((total, x) => total + Math.exp(x), 0);
  const gradient = row.map((x, i) => Math.exp(x) / sum - (i === label ? 1 : 0));
  return {loss: Math.log(sum) - row[label]!, gradient};
}

describeBackends('sparseCrossEntropy', (backend) => {
  // Bytes are counted on large tensors, which cpu fills slowly, by the same code as elsewhere.
  const itCounts = backend === 'cpu' ? it.skip : it;
  const counted = labels.flatMap((label, i) => (label < 0 ? [] : [rowLoss(logits[i]!, label)]));
  const expected = counted.reduce((sum, {loss}) => sum + loss, 0) / counted.length;

  const cases: Array<[number[], tf.NumericDataType]> = [
    [[2, 2, 1], 'int32'],
    [[2, 2], 'int32'],
    [[2, 2, 1], 'float32'],
    [[2, 2], 'float32'],
  ];
  for (const [shape, dtype] of cases) {
    it(`is the mean over the counted labels, given as ${dtype} [${shape.join(', ')}]`, async () => {
      const before = tf.memory().numTensors;
      const x = tf.tensor(logits.flat(), [2, 2, 3]);
      const y = tf.tensor(labels, shape, dtype);
      const loss = sparseCrossEntropy(y, x);
      expect(loss.shape).to.deep.equal([]);
      expect((await loss.data())[0]).to.be.closeTo(expected, 1e-5);
      tf.dispose([x, y, loss]);
      expect(tf.memory().numTensors).to.equal(before);
    });
  }

  it('has the gradient of the formula, none for labels that are not counted', async () => {
    const x = tf.tensor(logits.flat(), [1, 4, 3]);
    const y = tf.tensor(labels, [1, 4], 'int32');
    const gradient = tf.grad((z: tf.Tensor) => sparseCrossEntropy(y, z))(x);
    const values = Array.from(await gradient.data());
    labels.forEach((label, i) => {
      const formula = label < 0 ? [0, 0, 0] : rowLoss(logits[i]!, label).gradient;
      formula.forEach((g, j) =>
        expect(values[3 * i + j]).to.be.closeTo(g / counted.length, 1e-6, `row ${i}, column ${j}`),
      );
    });
    tf.dispose([x, y, gradient]);
  });

  it('stays finite where a plain softmax overflows', async () => {
    const x = tf.tensor([1000, 0, -1000], [1, 1, 3]);
    const y = tf.tensor([2], [1, 1], 'int32');
    const loss = sparseCrossEntropy(y, x);
    expect((await loss.data())[0]).to.equal(2000);
    tf.dispose([x, y, loss]);
  });

  it('is 0, with gradient 0, where no label is counted', async () => {
    const x = tf.tensor(logits.flat(), [1, 4, 3]);
    const y = tf.fill([1, 4], -100, 'int32');
    const {value, grad} = tf.valueAndGrad((z: tf.Tensor) => sparseCrossEntropy(y, z))(x);
    expect(Array.from(await value.data())).to.deep.equal([0]);
    expect(Array.from(await grad.data()).every((g) => g === 0)).to.equal(true);
    tf.dispose([x, y, value, grad]);
  });

  it('has value and gradient of the composition, over chunks of which the last is smaller', async () => {
    const [rows, vocab] = [70, 8192]; // 32 rows a chunk
    const before = tf.memory().numTensors;
    const x = tf.randomNormal([1, rows, vocab], 0, 3, 'float32', 1);
    const y = someLabels(rows, vocab);
    const gradientsOf = (loss: typeof sparseCrossEntropy) =>
      tf.valueAndGrad((z: tf.Tensor) => tf.mul(loss(y, z), 100))(x);
    const actual = gradientsOf(sparseCrossEntropy);
    const expected = gradientsOf(composed.sparseCrossEntropy);
    // single precision; wasm adds the values of a row one after the other
    const comparison = new Comparison('cross-entropy', {rtol: 1e-4, atol: 1e-6});
    comparison.add('value', await actual.value.data(), await expected.value.data());
    comparison.add('gradient', await actual.grad.data(), await expected.grad.data());
    comparison.finish();
    tf.dispose([x, y, {...actual}, {...expected}]);
    expect(tf.memory().numTensors).to.equal(before);
  });

  itCounts('takes memory for some rows at a time, however many there are', () =>
    withoutComputing(() => {
      const meter = startMemoryMeter();
      const x = tf.tidy(() => tf.variable(tf.zeros([1, 64, 2 ** 16])));
      const y = tf.zeros([1, 64], 'int32');
      const logitsBytes = x.size * 4;
      const peak = () => meter.peak() / logitsBytes;
      tf.dispose(sparseCrossEntropy(y, x));
      expect(peak(), 'logits and loss').to.be.below(1.25);
      // the gradient, and once more while its parts are joined
      tf.dispose({...variableGrads(() => sparseCrossEntropy(y, x), [x])});
      expect(peak(), 'with the gradient').to.be.below(3.25);
      meter.stop();
      tf.dispose([x, y]);
    }),
  );

  for (const transposed of [false, true]) {
    const kind = transposed ? '[vocab, hidden]' : '[hidden, vocab]';

    it(`applies a deferred head ${kind}, over chunks of which the last is smaller`, async function () {
      this.timeout(300_000); // software WebGPU takes seconds
      const [seq, width, vocab] = [70, 3, 8192]; // 32 rows a chunk
      const before = tf.memory().numTensors;
      const hidden = tf.randomNormal([1, seq, width], 0, 1, 'float32', 1);
      const shape = transposed ? [vocab, width] : [width, vocab];
      const kernel = tf.randomNormal(shape, 0, 1, 'float32', 2);
      const y = someLabels(seq, vocab);
      // The gradients are computed for the loss itself, and multiplied if it is a part of another.
      const total = (loss: tf.Tensor): tf.Tensor => (transposed ? tf.mul(loss, 3) : loss);
      const run = {y, hidden, kernel, transposed, total};
      await expectAsOfAllLogits(run, lossOfDeferredHead(run));
      tf.dispose([hidden, kernel, y]);
      expect(tf.memory().numTensors).to.equal(before);
    });
  }

  for (const [counted, max] of [
    [70, 128],
    [0, 64],
  ] as const) {
    it(`computes logits of a deferred head where labels are counted: ${counted} of 200`, async function () {
      this.timeout(300_000);
      const [seq, width, vocab] = [200, 4, 90];
      const hidden = tf.randomNormal([1, seq, width], 0, 1, 'float32', 3);
      const kernel = tf.randomNormal([vocab, width], 0, 1, 'float32', 4);
      const y = tf.tensor2d(
        Array.from({length: seq}, (_, i) => ((i * 37) % seq < counted ? (i * 7) % vocab : -100)),
        [1, seq],
        'int32',
      );
      const before = tf.memory().numTensors;
      const rows: number[] = [];
      const engine = tf.engine();
      const runKernel = engine.runKernel.bind(engine);
      engine.runKernel = (name, inputs, ...args) => {
        const result = runKernel<tf.Tensor | tf.Tensor[]>(name, inputs, ...args);
        const {shape} = [result].flat()[0]!;
        if (name === tf.BatchMatMul && shape.at(-1) === vocab) rows.push(shape.at(-2)!);
        return result as never;
      };
      const run = {y, hidden, kernel, transposed: true};
      const actual = lossOfDeferredHead(run);
      Reflect.deleteProperty(engine, 'runKernel');
      expect(rows).to.deep.equal([readsSynchronously() ? max : seq]);
      await expectAsOfAllLogits(run, actual);
      expect(tf.memory().numTensors).to.equal(before);
      tf.dispose([hidden, kernel, y]);
    });
  }

  itCounts('never has all logits of a deferred head', () =>
    withoutComputing(() => {
      const meter = startMemoryMeter();
      const [seq, width, vocab] = [128, 8, 2 ** 16]; // all logits: 16 times the kernel
      const hidden = tf.zeros([1, seq, width]);
      const kernel = tf.tidy(() => tf.variable(tf.zeros([width, vocab])));
      const y = tf.zeros([1, seq], 'int32');
      const loss = () => sparseCrossEntropy(y, deferHead(hidden, {kernel, transposed: false}));
      tf.dispose({...variableGrads(loss, [kernel])});
      // the kernel, three times its gradient while it is added up, and logits of half its size
      expect(meter.peak() / (kernel.size * 4)).to.be.below(4.75);
      meter.stop();
      tf.dispose([hidden, kernel, y]);
    }),
  );
});

/** A loss of hidden states `[1, seq, hidden]` by a deferred head. */
interface DeferredRun {
  y: tf.Tensor;
  hidden: tf.Tensor;
  kernel: tf.Tensor;
  transposed: boolean;
  /** What the loss is a part of; default: it is all. */
  total?: (loss: tf.Tensor) => tf.Tensor;
}

interface ValueAndGrads {
  value: tf.Tensor;
  grads: tf.Tensor[];
}

function lossOfDeferredHead(run: DeferredRun): ValueAndGrads {
  const {y, hidden, kernel, transposed, total = (loss) => loss} = run;
  return tf.valueAndGrads((x: tf.Tensor, kernel: tf.Tensor) =>
    total(sparseCrossEntropy(y, deferHead(x, {kernel, transposed}))),
  )([hidden, kernel]);
}

/** Compares a loss and its gradients with those of all logits at a time, by tfjs's ops, and disposes of them. */
async function expectAsOfAllLogits(
  {y, hidden, kernel, transposed, total = (loss) => loss}: DeferredRun,
  actual: ValueAndGrads,
): Promise<void> {
  const expected = tf.valueAndGrads((x: tf.Tensor, kernel: tf.Tensor) => {
    const logits = tf.matMul(tf.squeeze<tf.Tensor2D>(x, [0]), kernel, false, transposed);
    return total(composed.sparseCrossEntropy(y, logits));
  })([hidden, kernel]);
  // as in the tests of logits; a value of the kernel's gradient is the sum of a few large ones
  const comparison = new Comparison('head and cross-entropy', {rtol: 1e-4, atol: 1e-6});
  comparison.add('value', await actual.value.data(), await expected.value.data());
  for (const i of [0, 1]) {
    const [a, b] = [actual.grads[i]!, expected.grads[i]!];
    comparison.add(`gradient ${i}`, await a.data(), await b.data());
  }
  comparison.finish();
  tf.dispose([{...actual}, {...expected}]);
}
