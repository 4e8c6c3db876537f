import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {OwLoreOptimizer} from '../../src/index';
import {OwLoreAddRows} from '../../src/kernels/kernel_names';
import {installKernelsForBackend} from '../../src/kernels/install_for_backend';
import {createLlama, sparseCrossEntropy} from '../../src/llama';
import {IndexedSlices, markFresh} from '../../src/tape/indexed_slices';
import {lookUp} from '../../src/llama/look_up';
import {startMemoryMeter} from '../../src/memory/meter';
import {variableGrads} from '../../src/tape/tfjs_gradients';
import {describeBackends} from '../support/backends';
import {Comparison} from '../support/close';
import {held} from '../support/sentinels';

function tiedModel(vocabSize: number, hiddenSize = 16): tfl.LayersModel {
  return createLlama({
    ...{vocabSize, hiddenSize, intermediateSize: 24, numHiddenLayers: 1, numAttentionHeads: 2},
    ...{tieWordEmbeddings: true, headInLoss: true, seed: 5},
  });
}

function batch(vocab: number): [ids: tf.Tensor, labels: tf.Tensor] {
  const ids = Array.from({length: 12}, (_, j) => (j * j) % vocab);
  return [tf.tensor(ids, [2, 6], 'int32'), tf.tensor(ids.map((id) => (id + 1) % vocab), [2, 6], 'int32')]; // prettier-ignore
}

describeBackends('the gradient of a look-up', (backend) => {
  before(installKernelsForBackend);

  it("is, added to a tied head's, that of tfjs's tape", async () => {
    const model = tiedModel(40);
    const [ids, labels] = batch(40);
    const loss = (): tf.Scalar =>
      sparseCrossEntropy(labels, model.apply(ids, {training: true}) as tf.Tensor);
    const [own, stock] = [variableGrads(loss), tf.variableGrads(loss)];
    // of sums in another order, in float32
    const comparison = new Comparison('gradient', {rtol: 1e-5, atol: 1e-7});
    for (const [name, gradient] of Object.entries(stock.grads)) {
      comparison.add(name, await own.grads[name]!.data(), await gradient.data());
    }
    comparison.finish();
    tf.dispose([own, stock, ids, labels]);
    model.dispose();
  });

  it('is the sum of several look-ups, without a head as well', async () => {
    const table = tf.variable(
      tf.randomNormal([5, 3], 0, 1, 'float32', 1),
      true,
      'table of look-ups',
    );
    const before = held();
    const ids = [tf.tensor1d([0, 4, 0], 'int32'), tf.tensor1d([4], 'int32')];
    const loss = (f: (ids: tf.Tensor) => tf.Tensor) => (): tf.Scalar =>
      tf.tidy(() => tf.sum<tf.Scalar>(tf.concat(ids.map((x) => tf.square(f(x))))));
    const own = variableGrads(loss((x) => lookUp(table, x)));
    const stock = tf.variableGrads(loss((x) => tf.gather(table, x)));
    const [actual, expected] = [own, stock].map(({grads}) => grads['table of look-ups']!);
    expect(await actual!.data()).to.deep.equal(await expected!.data());
    tf.dispose([own, stock, ids]);
    expect(held()).to.deep.equal(before);
    table.dispose();
  });

  it("is added in place by a kernel, where a backend has one and the sum is nobody else's", async () => {
    const calls: unknown[] = [];
    const own = tf.getKernelsForBackend(backend).find((each) => each.kernelName === OwLoreAddRows);
    if (own) tf.unregisterKernel(OwLoreAddRows, backend);
    tf.registerKernel({
      ...{kernelName: OwLoreAddRows, backendName: backend},
      kernelFunc: ({inputs, attrs}) => {
        calls.push([Object.keys(inputs), attrs]);
        return tf.engine().runKernel<tf.Tensor>(tf.Identity, {x: inputs['x'] as tf.Tensor});
      },
    });
    const before = held();
    const [ids, rows] = [tf.tensor1d([1], 'int32'), tf.ones([1, 2])];
    try {
      for (const isFresh of [true, false]) {
        const sum = tf.fill([3, 2], 7);
        if (isFresh) markFresh(sum);
        const added = new IndexedSlices([3, 2], ids, rows).addedTo(sum);
        // what this kernel makes of it
        expect(await added.data()).to.deep.equal(new Float32Array(6).fill(7));
        added.dispose();
      }
      const alone = new IndexedSlices([3, 2], ids, rows).addedTo(undefined);
      expect(await alone.data()).to.deep.equal(new Float32Array([0, 0, 1, 1, 0, 0]));
      alone.dispose();
      const names = ['x', 'ids', 'values'];
      expect(calls).to.deep.equal([true, false].map((isSoleOwner) => [names, {isSoleOwner}]));
    } finally {
      tf.unregisterKernel(OwLoreAddRows, backend);
      if (own) tf.registerKernel(own);
      tf.dispose([ids, rows]);
    }
    expect(held()).to.deep.equal(before);
  });

  it('leaves nothing behind if it cannot be added', () => {
    const before = held();
    const ids = tf.tensor1d([0], 'int32');
    const [rows, other] = [tf.zeros([1, 2]), tf.zeros([3, 5])];
    const slices = new IndexedSlices([3, 2], ids, rows);
    expect(() => slices.addedTo(other)).to.throw();
    expect(slices.isDisposed).to.equal(true);
    tf.dispose([ids, rows]);
    expect(held()).to.deep.equal(before);
  });

  if (backend !== 'wasm' && backend !== 'tensorflow') return;
  it("takes no second matrix beside a tied head's", () => {
    // so that it outweighs all else
    const [vocab, hidden] = [4096, 64];
    const meter = startMemoryMeter();
    const model = tiedModel(vocab, hidden);
    const optimizer = new OwLoreOptimizer({
      ...{learningRate: 1e-3, project: false, nonFinite: 'ignore'},
    });
    const [ids, labels] = batch(vocab);
    const step = (): void => {
      optimizer.minimize(() =>
        sparseCrossEntropy(labels, model.apply(ids, {training: true}) as tf.Tensor),
      );
    };
    step();
    meter.reset();
    const resting = meter.current();
    step();
    const added = meter.peak() - resting;
    meter.stop();
    const whole = 4 * vocab * hidden;
    expect(added / whole).to.be.within(1, 1.9);
    tf.dispose([ids, labels]);
    optimizer.dispose();
    model.dispose();
  });
});
