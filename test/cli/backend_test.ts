import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {loadBackend} from '../../tools/load_backend';
import {selectBackend} from '../../src/cli/backend';
import {backendNames, type BackendName} from '../../src/cli/register_backend';
import {OwLoreAdam} from '../../src/kernels/kernel_names';
import {installKernels, uninstallKernels} from '../../src/kernels/wasm';
import {backends, defaultBackend} from '../support/backends';
import {rejection} from '../support/rejection';

describe('selectBackend', () => {
  after(() => tf.setBackend(defaultBackend));

  /** The backends that are asked for, of which some are there. */
  const select = async (
    name: BackendName | 'auto',
    there: readonly BackendName[],
    broken: readonly BackendName[] = [],
    order?: readonly BackendName[],
  ) => {
    const asked: BackendName[] = [];
    const notes: string[] = [];
    const selected = await selectBackend(
      name,
      (line) => notes.push(line),
      async (candidate) => {
        asked.push(candidate);
        if (broken.includes(candidate))
          throw new Error("Cannot find module 'google-protobuf'\nRequire stack:\n- a.js");
        return there.includes(candidate) && loadBackend(candidate);
      },
      order,
    );
    return {asked, selected, ...(broken.length > 0 && {notes})};
  };

  it('takes the one that it is told', async () => {
    for (const name of backendNames.filter((name) => backends.includes(name))) {
      expect(await select(name, backendNames)).to.deep.equal({asked: [name], selected: name});
      expect(tf.getBackend()).to.equal(name);
    }
  });

  it('by itself takes tensorflow, else wasm, else cpu', async () => {
    const {asked, selected} = await select('auto', ['cpu']);
    expect(asked).to.deep.equal(['tensorflow', 'wasm', 'cpu']);
    expect([selected, tf.getBackend()]).to.deep.equal(['cpu', 'cpu']);
    if (!backends.includes('wasm')) return;
    expect((await select('auto', ['cpu', 'wasm', 'webgpu'])).selected).to.equal('wasm');
    if (!backends.includes('tensorflow')) return;
    expect((await select('auto', backendNames)).asked).to.deep.equal(['tensorflow']);
  });

  it('by itself takes them in the order that a command asks for', async () => {
    const order = ['wasm', 'tensorflow', 'cpu'] as const;
    const {asked, selected} = await select('auto', ['cpu'], [], order);
    expect({asked, selected}).to.deep.equal({asked: order, selected: 'cpu'});
  });

  it('by itself passes over one that does not work, and says so once', async () => {
    const asked = ['tensorflow', 'wasm', 'cpu'];
    const note =
      "warning: the backend 'tensorflow' is passed over, it does not work: Cannot find module 'google-protobuf'";
    for (const notes of [[note], []]) {
      const result = await select('auto', ['cpu'], ['tensorflow']);
      expect(result).to.deep.equal({asked, selected: 'cpu', notes});
    }
    expect((await rejection(select('tensorflow', ['cpu'], ['tensorflow']))).message).to.equal(
      "the backend 'tensorflow' is installed but does not work: Cannot find module 'google-protobuf'; to install it anew: " +
        'npm install @tensorflow/tfjs-node',
    );
  });

  it('says how to get what is not there, and leaves the backend', async () => {
    await tf.setBackend(defaultBackend);
    expect((await rejection(select('webgpu', []))).message).to.equal(
      "there is no backend 'webgpu' on this machine; to get it: npm install " +
        '@tensorflow/tfjs-backend-webgpu webgpu, and a Vulkan, Metal or D3D12 driver',
    );
    expect((await rejection(select('auto', []))).message).to.match(
      /no backend is installed.*npm install @tensorflow\/tfjs-backend-wasm/,
    );
    expect(tf.getBackend()).to.equal(defaultBackend);
  });

  if (backends.includes('wasm')) {
    it('waits for the kernels of this library', async () => {
      uninstallKernels();
      try {
        await select('wasm', ['wasm']);
        expect(tf.getKernel(OwLoreAdam, 'wasm')).not.to.equal(undefined);
      } finally {
        await installKernels();
      }
    });
  }
});
