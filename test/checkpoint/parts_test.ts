import {expect} from 'chai';
import {placeOfFile} from '../../src/checkpoint/parts';

describe('placeOfFile', () => {
  it('says in words where a checkpoint is', () => {
    expect(placeOfFile('run', 'a.json')).to.equal('run/a.json');
    expect(placeOfFile(new Map(), 'a.json')).to.equal('a.json in its map');
  });
});
