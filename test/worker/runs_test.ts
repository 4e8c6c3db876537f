/** Runs in the browser's storage that several tabs ask for at the same time. */
import {expect} from 'chai';
import {browserStorage} from '../../src/files/browser_storage';
import {RunStore} from '../../src/worker/run_store';
import {deleteRun, listRuns} from '../../src/worker/runs';
import type {FineTuningError} from '../../src/worker/errors';
import {useIndexedDb} from '../support/indexed_db';
import {rejection} from '../support/rejection';
import {useWebLocks} from '../support/web_locks';

/** Names that lead elsewhere, or that no folder has everywhere. */
const hostile = [
  ...['../x', '/x', 'a/b', 'a\\b', '..\\x', '.', '..', '.x', '', 'a\0b', 'C:x', 'x'.repeat(101)],
  ...['a\ud800', '\udc00'],
];

describe('runs in the browser’s storage', () => {
  useIndexedDb();
  useWebLocks();
  beforeEach(async () => {
    const storage = await browserStorage();
    await storage.removeEntry('runs', {recursive: true}).catch(() => undefined);
  });

  /** Has a run begun, all that it takes. */
  async function begin(store: RunStore): Promise<void> {
    const about = {method: 'owlore', steps: 2, scores: null};
    await store.begin({model: 'a/b', data: {'../x': 'text'}}, 'a/b', about, () => undefined);
  }
  /** Has the tabs that hold a run closed. */
  function closeTabs(): void {
    (navigator.locks as unknown as {held: Set<string>}).held.clear();
  }
  const names = async (): Promise<string[]> => (await listRuns()).map(({name}) => name);

  it('are neither opened nor deleted while a tab has them, and are when it is closed', async () => {
    await begin(await RunStore.create('test', 'run'));
    expect((await listRuns())[0]).to.include({name: 'run', state: 'running'});
    for (const ask of [() => RunStore.open('test', 'run'), () => deleteRun('run')]) {
      const error = (await rejection(ask())) as FineTuningError;
      expect(error).to.include({code: 'in-use'});
      expect(error.message).to.include("the run 'run' is open in");
    }
    expect(await names()).to.deep.equal(['run']);
    closeTabs();
    const store = await RunStore.open('test', 'run');
    expect(Object.keys(await store.data())).to.deep.equal(['../x']);
    closeTabs();
    await deleteRun('run');
    expect(await names()).to.deep.equal([]);
  });

  it('are opened or deleted, but never both', async () => {
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    for (let turns = 0; turns < 12; turns++) {
      await begin(await RunStore.create('test', 'run'));
      closeTabs();
      const removed = deleteRun('run');
      for (let i = 0; i < turns; i++) await turn();
      const [open] = await Promise.allSettled([RunStore.open('test', 'run'), removed]);
      expect(await names()).to.deep.equal(open.status === 'fulfilled' ? ['run'] : []);
      closeTabs();
      await deleteRun('run');
    }
  });

  it('that begin while another tab lists them stay', async () => {
    const before = await RunStore.create('test', 'leftover');
    closeTabs();
    const {query} = navigator.locks;
    let store: RunStore | null = null;
    navigator.locks.query = async () => {
      const result = await query.call(navigator.locks);
      store ??= await RunStore.create('test', 'new');
      return result;
    };
    expect(await names()).to.deep.equal([]);
    await begin(store!);
    expect(await names()).to.deep.equal(['new']);
    // and what never began is gone
    expect((await rejection(before.progress({step: 0, loss: null, heldOut: null}))).name).to.equal(
      'NotFoundError',
    );
  });

  it('whose name is taken do not take it from the one that has it, and are numbered where nobody named them', async () => {
    await begin(await RunStore.create('test', 'run'));
    const second = await RunStore.createNamedLike('run');
    await begin(second);
    closeTabs();
    const error = (await rejection(RunStore.create('test', 'run'))) as FineTuningError;
    expect(error.message).to.include("there is a run 'run'");
    const states = (await listRuns()).map(({name, state}) => [name, state]);
    expect(states).to.have.deep.members([
      ['run', 'interrupted'],
      ['run 2', 'interrupted'],
    ]);
    const third = await RunStore.createNamedLike('run');
    expect([second.name, third.name]).to.deep.equal(['run 2', 'run 3']);
  });

  it('have no name that leads out of their folder', async () => {
    const outside = await browserStorage();
    await outside.getDirectoryHandle('x', {create: true});
    for (const name of hostile) {
      for (const ask of [() => RunStore.open('test', name), () => deleteRun(name)]) {
        const error = (await rejection(ask())) as FineTuningError;
        expect(error, JSON.stringify(name)).to.include({code: 'bad-option'});
        expect(error.message).to.include(`got '${name}'`);
      }
    }
    await outside.getDirectoryHandle('x');
    // what only looks like it may be one
    for (const name of ['%2e%2e%2fx', 'a\u202egpj.x', 'x'.repeat(100)]) {
      await begin(await RunStore.create('test', name));
      closeTabs();
      expect(await names()).to.include(name);
      await deleteRun(name);
    }
  });
});
