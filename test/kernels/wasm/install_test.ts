import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import type {BackendWasm} from '@tensorflow/tfjs-backend-wasm';
import {installKernelsForBackend} from '../../../src/kernels/install_for_backend';
import {OwLoreRMSNorm, OwLoreSwiGLU} from '../../../src/kernels/llama/kernel_names';
import {hasKernel, runKernel} from '../../../src/kernels/run_kernel';
import {installKernels, uninstallKernels} from '../../../src/kernels/wasm';
import {simdModule} from '../../../src/kernels/wasm/simd_module';
import {expectWarning} from '../../support/warnings';
import {describeWasm} from './compare';
import {refusingAtOnce} from './refusing_engine';

const NAMES = [
  tf.BatchMatMul,
  tf._FusedMatMul,
  tf.UnsortedSegmentSum,
  tf.Add,
  tf.Concat,
  tf.GatherV2,
  tf.Slice,
  tf.SplitV,
  tf.Unpack,
  tf.Identity,
  tf.Cast,
  tf.Conv2DBackpropFilter,
  tf.DepthwiseConv2dNativeBackpropFilter,
  tf.DepthwiseConv2dNativeBackpropInput,
  tf.MaxPoolGrad,
] as const;

const registered = () => NAMES.map((name) => tf.getKernel(name, 'wasm'));

const product = (): number =>
  tf.tidy(() => tf.matMul([[1, 2]], [[3, 4]], false, true).dataSync()[0]!);

/** Of 1 and 2, by this library's own kernel. */
const swiglu = (): number =>
  tf.tidy(() => {
    const inputs = {gate: tf.scalar(1), up: tf.scalar(2)};
    return runKernel(OwLoreSwiGLU, inputs)![0]!.dataSync()[0]!;
  });

const memoryOf = (backend: BackendWasm): WebAssembly.Memory =>
  (backend as unknown as {wasm: {asm: {memory: WebAssembly.Memory}}}).wasm.asm.memory;

/** Puts another backend in the place of the one that computes on wasm. */
async function makeAnew(): Promise<void> {
  const factory = tf.findBackendFactory('wasm');
  tf.removeBackend('wasm');
  tf.registerBackend('wasm', factory);
  await tf.setBackend('wasm');
}

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

  it('has the module at once', () => {
    void installKernels({simd});
    expect(simdModule(tf.backend()) !== undefined).to.equal(simd === 'auto');
    expect(hasKernel(OwLoreRMSNorm)).to.equal(simd === 'auto');
  });

  it('works before the module is there, and when it is uninstalled by then', async () => {
    await makeAnew();
    await refusingAtOnce(() => void installKernels({simd}));
    expect(hasKernel(OwLoreRMSNorm)).to.equal(false);
    expect(product()).to.equal(11);
    const ready = installKernels({simd});
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

  it('serves a backend that is made anew, with its own memory', async () => {
    await installKernels({simd});
    const old = tf.backend() as BackendWasm;
    const {buffer} = memoryOf(old);
    await makeAnew();
    const bytes = new Uint8Array(buffer).slice();
    expect(tf.backend()).not.to.equal(old);
    expect(simdModule(tf.backend()) !== undefined).to.equal(simd === 'auto');
    expect(product()).to.equal(11);
    if (simd === 'auto') expect(swiglu()).to.be.closeTo(2 / (1 + Math.exp(-1)), 1e-6);
    expect(Buffer.compare(new Uint8Array(buffer), bytes), 'memory of the old backend').to.equal(0);
  });

  it('does without on a backend that is made anew until the module is there', async () => {
    await installKernels({simd});
    await refusingAtOnce(makeAnew);
    expect(hasKernel(OwLoreRMSNorm)).to.equal(false);
    expect(product()).to.equal(11);
    await installKernels({simd});
    expect(hasKernel(OwLoreRMSNorm)).to.equal(simd === 'auto');
    expect(product()).to.equal(11);
  });

  it('says once why the module is not there, and tries again with the next backend', async () => {
    await makeAnew();
    const {wasm} = tf.backend() as unknown as {wasm: {_malloc: (bytes: number) => number}};
    const malloc = wasm._malloc;
    wasm._malloc = () => 0;
    void installKernels({simd}).catch(() => undefined);
    await installKernelsForBackend();
    await installKernelsForBackend();
    wasm._malloc = malloc;
    if (simd === 'auto') expectWarning(/backend 'wasm' .*: The memory of the wasm backend is full/);
    expect(product()).to.equal(11);
    await makeAnew();
    expect(hasKernel(OwLoreRMSNorm)).to.equal(simd === 'auto');
  });

  it('leaves no kernel out that a gradient on wasm may need', async () => {
    await installKernels({simd});
    const names = (backend: string) => tf.getKernelsForBackend(backend).map((k) => k.kernelName);
    const onWasm = names('wasm');
    // complex numbers, einsum and ragged tensors are not for this backend at all; cpu may have kernels of this library, if a test before
    // this one has installed them
    const forward = /^OwLore|Complex|FFT|Imag|Real|Einsum|Ragged|Draw|StaticRegexReplace/;
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
