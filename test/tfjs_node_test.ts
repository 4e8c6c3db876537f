import {execFileSync} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';

describe('tfjs-node, loaded after this package', () => {
  for (const entry of ['node', 'llama_node']) {
    it(`finds what Node 23 removed, and writes no notes on the processor: ${entry}`, () => {
      const url = new URL(`../src/entries/${entry}.ts`, import.meta.url).href;
      const program = `
        import util from 'node:util';
        delete util.isNullOrUndefined;
        await import(${JSON.stringify(url)});
        const {isNullOrUndefined: isNone} = util;
        console.log([isNone(null), isNone(undefined), isNone(0), process.env.TF_CPP_MIN_LOG_LEVEL].join());`;
      const {TF_CPP_MIN_LOG_LEVEL: _, ...env} = process.env;
      const args = ['--import', 'tsx', '--input-type=module', '--eval', program];
      const cwd = fileURLToPath(new URL('..', import.meta.url));
      const printed = execFileSync(process.execPath, args, {env, cwd, encoding: 'utf8'});
      expect(printed.trim()).to.equal('true,true,false,1');
    });
  }
});
