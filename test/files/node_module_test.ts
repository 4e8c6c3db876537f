import path from 'node:path';
import {expect} from 'chai';
import {nodeModule} from '../../src/files/node_module';

describe('nodeModule', () => {
  it('is a module of Node', () => {
    expect(nodeModule('node:path')).to.equal(path);
  });

  it('says in a browser what is taken in the place of a path', () => {
    const own = Object.getOwnPropertyDescriptor(globalThis, 'process')!;
    Object.defineProperty(globalThis, 'process', {value: undefined, configurable: true});
    try {
      expect(() => nodeModule('node:fs/promises')).to.throw(
        'a path needs Node 20.19 or later; in a browser pass an http(s) URL',
      );
    } finally {
      Object.defineProperty(globalThis, 'process', own);
    }
  });
});
