import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {OwLoreOptimizer, type OwLoreOptions} from '../../../../src/index';
import {hostSvd} from '../../../../src/owlore/optimizer/state/basis';
import {checkNeeds, neededParts} from '../../../../src/owlore/optimizer/step/needs';
import {resolveOwLoreOptions} from '../../../../src/owlore/optimizer/options';
import {describeStandIn} from '../../../support/stand_in';
import {rejection} from '../../../support/rejection';

/** What needs a part, or a backend that can be read from within a step. */
const needing: Array<{options: OwLoreOptions; name: string; parts: unknown[]; way?: string}> = [
  {options: {}, name: 'nothing', parts: []},
  {options: {state: 'keep', moments: 'rotate'}, name: 'nothing', parts: []},
  {
    ...{options: {basis: 'svd'}, name: "basis 'svd'"},
    ...{parts: [hostSvd], way: "basis: 'randomized'"},
  },
  {options: {update: 'fira'}, name: 'nothing', parts: []},
  {options: {update: 'apollo'}, name: 'nothing', parts: []},
];

const check = (options: OwLoreOptions): void => checkNeeds(resolveOwLoreOptions(options));

/** Runs `body` as if a part had not been loaded yet. */
function withoutPart(part: object, body: () => void): void {
  Object.defineProperty(part, 'loaded', {get: () => undefined, configurable: true});
  try {
    body();
  } finally {
    Reflect.deleteProperty(part, 'loaded');
  }
}

describe('what options need', () => {
  for (const {options, name, parts} of needing) {
    it(`is there on a backend that can be read: ${JSON.stringify(options)}`, () => {
      expect(() => check(options)).not.to.throw();
      expect(neededParts(resolveOwLoreOptions(options))).to.deep.equal(parts);
      withoutPart(hostSvd, () => {
        if (!parts.includes(hostSvd)) expect(() => check(options)).not.to.throw();
        else {
          expect(() => check(options)).to.throw(
            `OwLoreOptimizer: ${name} needs a part of this library that is not loaded yet; ` +
              '`await optimizer.ready()` before the first step',
          );
        }
      });
    });
  }

  it('begins to load when an optimizer is made, and its failure is the error of ready()', async () => {
    const calls: number[] = [];
    const loading = Object.getOwnPropertyDescriptor(hostSvd, 'load');
    hostSvd.load = () => {
      calls.push(1);
      return Promise.reject(new Error('offline'));
    };
    try {
      const optimizer = new OwLoreOptimizer({basis: 'svd'});
      expect(calls).to.have.length(1);
      expect((await rejection(optimizer.ready())).message).to.equal('offline');
      await new OwLoreOptimizer({basis: 'randomized'}).ready();
      expect(calls).to.have.length(2);
    } finally {
      if (loading) Object.defineProperty(hostSvd, 'load', loading);
      else Reflect.deleteProperty(hostSvd, 'load');
    }
  });
});

for (const backend of ['webgpu', 'webgl'] as const) {
  describeStandIn(backend, 'what options need', () => {
    // webgl can be read within a step
    const isRefused = (way?: string): boolean => way !== undefined && backend === 'webgpu';
    for (const {options, name, way} of needing) {
      if (!isRefused(way)) continue;
      it(`is refused: ${JSON.stringify(options)}`, () => {
        expect(() => check(options)).to.throw(
          `OwLoreOptimizer: ${name} reads tensors back from the device, which the '${backend}' backend cannot do within a ` +
            `step; use ${way}`,
        );
        const variable = tf.tidy(() => tf.variable(tf.ones([4, 4])));
        const optimizer = new OwLoreOptimizer(options);
        expect(() => optimizer.minimize(() => tf.sum(variable), false, [variable])).to.throw(
          'reads tensors back',
        );
        variable.dispose();
      });
    }
    for (const {options, way} of needing) {
      if (isRefused(way)) continue;
      it(`is there: ${JSON.stringify(options)}`, () => {
        expect(() => check(options)).not.to.throw();
      });
    }
  });
}
