import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {sparseCrossEntropy} from '../../src/llama';
import {describeBackends} from '../support/backends';

const logits = [
  [1, -2, 0.5],
  [0, 3, 1],
  [2, 2, -1],
  [-1, 0.25, 0],
];
const labels = [2, -100, 0, 1];

/** −log softmax(row)[label] and its gradient by the row, in double precision. */
function rowLoss(row: readonly number[], label: number): {loss: number; gradient: number[]} {
  const sum = row.reduce((total, x) => total + Math.exp(x), 0);
  const gradient = row.map((x, i) => Math.exp(x) / sum - (i === label ? 1 : 0));
  return {loss: Math.log(sum) - row[label]!, gradient};
}

describeBackends('sparseCrossEntropy', () => {
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
    expect(Array.from(await value.data())).to.deep.equal([-0]);
    expect(Array.from(await grad.data()).every((g) => g === 0)).to.equal(true);
    tf.dispose([x, y, value, grad]);
  });
});
