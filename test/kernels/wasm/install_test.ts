import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {installKernels, uninstallKernels} from '../../../src/kernels/wasm';
import {simdModule} from '../../../src/kernels/wasm/simd_module';
import {describeWasm} from './compare';

const NAMES = [
  tf.BatchMatMul,
  tf._FusedMatMul,
  tf.UnsortedSegmentSum,
  tf.GatherV2,
  tf.Identity,
  tf.Cast,
  tf.Conv2DBackpropFilter,
  tf.DepthwiseConv2dNativeBackpropFilter,
  tf.DepthwiseConv2dNativeBackpropInput,
  tf.MaxPoolGrad,
] as const;

const registered = () => NAMES.map((name) => tf.getKernel(name, 'wasm'));

describeWasm('installKernels', (simd) => {
  let before: ReturnType<typeof registered>;

  beforeEach(async () => {
    await tf.setBackend('wasm');
    uninstallKernels();
    before = registered();
  });

  afterEach(() => installKernels({simd}));

  it('replaces the kernels, and restores the very same ones', async () => {
    await installKernels({simd});
    registered().forEach((config, i) => {
      expect(config.kernelFunc, NAMES[i]).to.not.equal(before[i]?.kernelFunc);
    });
    uninstallKernels();
    registered().forEach((config, i) => expect(config, NAMES[i]).to.equal(before[i]));
  });

  it('calls the set-up of the kernels that it replaces', async () => {
    const stock = tf.getKernel(tf.BatchMatMul, 'wasm');
    let calls = 0;
    tf.unregisterKernel(tf.BatchMatMul, 'wasm');
    tf.registerKernel({...stock, setupFunc: () => calls++});
    try {
      await installKernels({simd});
      await tf.setBackend('cpu');
      await tf.setBackend('wasm');
      expect(calls).to.equal(1);
    } finally {
      uninstallKernels();
      tf.unregisterKernel(tf.BatchMatMul, 'wasm');
      tf.registerKernel(stock);
    }
  });

  it('does nothing the second time', async () => {
    const first = installKernels({simd});
    const kernels = registered();
    expect(installKernels({simd})).to.equal(first);
    await first;
    registered().forEach((config, i) => expect(config).to.equal(kernels[i]));
    uninstallKernels();
    uninstallKernels();
    registered().forEach((config, i) => expect(config).to.equal(before[i]));
  });

  it('works at once, and when it is uninstalled before the module is there', async () => {
    const ready = installKernels({simd});
    expect(tf.tidy(() => tf.matMul([[1, 2]], [[3, 4]], false, true).dataSync()[0])).to.equal(11);
    uninstallKernels();
    await ready;
    registered().forEach((config, i) => expect(config).to.equal(before[i]));
  });

  it('serves a backend that is made later', async () => {
    await installKernels({simd});
    const later = (await tf.findBackendFactory('wasm')()) as BackendWasm;
    // tfjs does this for all kernels of a new backend
    tf.getKernel(tf.Identity, 'wasm').setupFunc!(later);
    expect(simdModule(later) !== undefined).to.equal(simd === 'auto');
    later.dispose();
  });

  it('leaves no kernel out that a gradient on wasm may need', async () => {
    await installKernels({simd});
    const names = (backend: string) => tf.getKernelsForBackend(backend).map((k) => k.kernelName);
    const onWasm = names('wasm');
    // complex numbers, einsum and ragged tensors are not for this backend at all
    const forward = /Complex|FFT|Imag|Real|Einsum|Ragged|Draw|StaticRegexReplace/;
    const missing = names('cpu').filter((name) => !onWasm.includes(name) && !forward.test(name));
    expect(missing).to.deep.equal([]);
  });

  it('refuses options that it does not know', () => {
    expect(() => installKernels({simd: 'relaxed' as 'auto'})).to.throw(
      "installKernels: simd must be one of 'auto', 'none'; got 'relaxed'",
    );
    const options = {smid: 'auto'} as object;
    expect(() => installKernels(options)).to.throw("unknown option 'smid'; did you mean 'simd'?");
  });

  it('leaves other backends alone', async () => {
    const cpu = tf.getKernel(tf.BatchMatMul, 'cpu');
    await installKernels({simd});
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

  it('makes an Embedding trainable', async () => {
    const layer = tfl.layers.embedding({inputDim: 5, outputDim: 2});
    const ids = tf.tensor2d([[0, 1, 1, 4]], [1, 4], 'int32');
    layer.apply(ids);
    const gradient = (): number[][] =>
      tf.tidy(() => {
        const {grads} = tf.variableGrads(() => tf.sum(layer.apply(ids) as tf.Tensor));
        return Object.values(grads)[0]!.arraySync() as number[][];
      });

    expect(gradient).to.throw(/UnsortedSegmentSum/);
    await installKernels({simd});
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
