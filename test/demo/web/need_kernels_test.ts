import {expect} from 'chai';
import {needKernels} from '../../../demo/web/need_kernels';

describe('demo/web: needKernels', () => {
  it('says how the kernels are built where they are not', () => {
    expect(() => needKernels()).not.to.throw();
    const nowhere = new URL('nowhere.ts', import.meta.url);
    expect(() => needKernels(nowhere)).to.throw('run `npm run build:wasm`');
  });
});
