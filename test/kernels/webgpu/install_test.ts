import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {installKernels, uninstallKernels} from '../../../src/kernels/webgpu';
import {defaultBackend} from '../../support/backends';
import {describeWebgpu} from './compare';

const names = (): string[] =>
  tf
    .getKernelsForBackend('webgpu')
    .map(({kernelName}) => kernelName)
    .sort();

const ours = [
  'OwLoreAdam',
  'OwLoreAddRows',
  'OwLoreCountAbove',
  'OwLoreMagnitudeSums',
  'OwLoreOrthonormalize',
  'OwLorePackBfloat16',
  'OwLoreProject',
  'OwLoreUnpackBfloat16',
  'OwLoreUnpackRows',
  'OwLoreUnpackWindow',
];

describeWebgpu('installKernels [webgpu]', () => {
  afterEach(async () => {
    await tf.setBackend('webgpu');
    await installKernels();
  });

  it('adds kernels, takes them out again, and changes no other', async () => {
    uninstallKernels();
    const stock = tf.getKernelsForBackend('webgpu');
    await installKernels();
    expect(names()).to.deep.equal([...stock.map(({kernelName}) => kernelName), ...ours].sort());
    uninstallKernels();
    expect(tf.getKernelsForBackend('webgpu')).to.deep.equal(stock);
    for (const config of stock) {
      expect(tf.getKernel(config.kernelName, 'webgpu')).to.equal(config);
    }
  });

  it('does nothing the second time', async () => {
    const kernels = ours.map((name) => tf.getKernel(name, 'webgpu'));
    await installKernels();
    expect(ours.map((name) => tf.getKernel(name, 'webgpu'))).to.deep.equal(kernels);
    uninstallKernels();
    uninstallKernels();
    expect(names().filter((name) => ours.includes(name))).to.deep.equal([]);
  });

  it('leaves other backends alone, whichever is current', async () => {
    uninstallKernels();
    await tf.setBackend('cpu');
    const cpu = tf.getKernelsForBackend('cpu');
    await installKernels();
    expect(tf.getBackend()).to.equal('cpu');
    expect(tf.getKernelsForBackend('cpu')).to.deep.equal(cpu);
    expect(tf.getKernel('OwLoreAdam', 'webgpu')).to.not.equal(undefined);
  });
});

describe('installKernels of webgpu', () => {
  it('says so when the webgpu backend is not registered', () => {
    const {registryFactory} = tf.engine();
    const factory = registryFactory['webgpu'];
    delete registryFactory['webgpu'];
    try {
      expect(() => installKernels()).to.throw(
        "installKernels: the webgpu backend is not registered; import '@tensorflow/tfjs-backend-webgpu' first",
      );
    } finally {
      if (factory) registryFactory['webgpu'] = factory;
    }
    expect(tf.getBackend()).to.equal(defaultBackend);
  });
});
