import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {installKernels, uninstallKernels} from '../../../src/kernels/wasm';
import {describeWasm} from './compare';

const NAMES = [
  tf.BatchMatMul,
  tf._FusedMatMul,
  tf.UnsortedSegmentSum,
  tf.Conv2DBackpropFilter,
  tf.MaxPoolGrad,
] as const;

const registered = () => NAMES.map((name) => tf.getKernel(name, 'wasm'));

describeWasm('installKernels', () => {
  let before: ReturnType<typeof registered>;

  beforeEach(async () => {
    await tf.setBackend('wasm');
    uninstallKernels();
    before = registered();
  });

  afterEach(installKernels); // the tests' usual state

  it('replaces the kernels, keeps their set-up, and restores the very same ones', () => {
    installKernels();
    registered().forEach((config, i) => {
      expect(config.kernelFunc, NAMES[i]).to.not.equal(before[i]?.kernelFunc);
      expect(config.setupFunc, NAMES[i]).to.equal(before[i]?.setupFunc);
    });
    uninstallKernels();
    expect(registered()).to.deep.equal(before);
    registered().forEach((config, i) => expect(config).to.equal(before[i]));
  });

  it('does nothing the second time', () => {
    installKernels();
    const first = registered();
    installKernels();
    registered().forEach((config, i) => expect(config).to.equal(first[i]));
    uninstallKernels();
    uninstallKernels();
    registered().forEach((config, i) => expect(config).to.equal(before[i]));
  });

  it('leaves other backends alone', () => {
    const cpu = tf.getKernel(tf.BatchMatMul, 'cpu');
    installKernels();
    expect(tf.getKernel(tf.BatchMatMul, 'cpu')).to.equal(cpu);
  });

  it('says so when the wasm backend is not registered', () => {
    const {registryFactory} = tf.engine();
    const factory = registryFactory['wasm']!;
    delete registryFactory['wasm'];
    try {
      expect(() => installKernels()).to.throw(
        "installKernels: the wasm backend is not registered; import '@tensorflow/tfjs-backend-wasm'",
      );
    } finally {
      registryFactory['wasm'] = factory;
    }
  });

  it('makes an Embedding trainable', () => {
    const layer = tfl.layers.embedding({inputDim: 5, outputDim: 2});
    const ids = tf.tensor2d([[0, 1, 1, 4]], [1, 4], 'int32');
    layer.apply(ids);
    const gradient = (): number[][] =>
      tf.tidy(() => {
        const {grads} = tf.variableGrads(() => tf.sum(layer.apply(ids) as tf.Tensor));
        return Object.values(grads)[0]!.arraySync() as number[][];
      });

    expect(gradient).to.throw(/UnsortedSegmentSum/);
    installKernels();
    // of a sum: how often each id was looked up
    expect(gradient()).to.deep.equal([
      [1, 1],
      [2, 2],
      [0, 0],
      [0, 0],
      [1, 1],
    ]);
    layer.dispose();
    ids.dispose();
  });
});
