import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {expect} from 'chai';
import {cruise, type ICruiseResult, type IFlattenedRuleSet} from 'dependency-cruiser';
// @ts-expect-error -- JavaScript, as the command reads it
import config from '../../.dependency-cruiser.js';

const {forbidden} = config as IFlattenedRuleSet;

/** Modules, each with what it imports by a line of its own. */
type Modules = Readonly<Record<string, string>>;

/** The names of the rules that a repository of these modules breaks. */
async function broken(modules: Modules): Promise<string[]> {
  const baseDir = mkdtempSync(join(tmpdir(), 'boundaries-'));
  try {
    for (const [path, text] of Object.entries(modules)) {
      mkdirSync(dirname(join(baseDir, path)), {recursive: true});
      writeFileSync(join(baseDir, path), `${text}\nexport const x = 1;\nexport type X = 1;\n`);
    }
    const folders = [...new Set(Object.keys(modules).map((path) => path.split('/')[0]!))];
    const {output} = await cruise(folders, {
      ...{baseDir, validate: true, ruleSet: {forbidden: forbidden!}},
      tsPreCompilationDeps: true,
    });
    return (output as ICruiseResult).summary.violations.map(({rule}) => rule.name);
  } finally {
    rmSync(baseDir, {recursive: true});
  }
}

const use = (path: string): string => `import {x as y} from '${path}';\nconsole.log(y);`;

describe('boundaries of folders', () => {
  it('let a folder import what is below it, and the optimizer all of the core', async () => {
    const modules = {
      'src/common/options.ts': '',
      'src/common/random.ts': use('./options'),
      'src/tfjs/engine.ts': '',
      'src/model/blocks.ts': use('../tfjs/engine'),
      'src/kernels/wasm/adam.ts': use('../../common/options'),
      'src/owlore/optimizer/step/update.ts': use('../../../kernels/wasm/adam'),
      'src/tape/recording.ts': use('../common/random'),
      'src/owlore/owlore_optimizer.ts': `${use('./optimizer/step/update')}\nimport '../tape/recording';`,
      'src/llama/architectures/llama.ts': use('../../kernels/wasm/adam'),
      'src/cli/commands/finetune.ts': use('../../owlore/owlore_optimizer'),
      'tools/backend.ts': use('../src/cli/commands/finetune'),
      'bench/results/store.ts': '',
      'bench/commands/memory.ts': `${use('../results/store')}\nimport '../../tools/backend';`,
      'test/bench_test.ts': use('../bench/commands/memory'),
    };
    expect(await broken(modules)).to.deep.equal([]);
  });

  const wrong: Record<string, [modules: Modules, rule: string]> = {
    'the method that knows language models': [
      {'src/llama/model.ts': '', 'src/owlore/owlore_optimizer.ts': use('../llama/model')},
      'src: owlore',
    ],
    'the method that knows the command line': [
      {'src/cli/options.ts': '', 'src/owlore/scores/outlier.ts': use('../../cli/options')},
      'src: owlore',
    ],
    'scores that know a LLaMA kernel': [
      {
        'src/kernels/llama/kernel_names.ts': '',
        'src/owlore/scores/outlier.ts': use('../../kernels/llama/kernel_names'),
      },
      'no architecture in the scores',
    ],
    'a language model that knows the method': [
      {
        'src/owlore/owlore_optimizer.ts': '',
        'src/llama/model.ts': use('../owlore/owlore_optimizer'),
      },
      'src: llama',
    ],
    'draws that know the optimizer': [
      {
        'src/owlore/optimizer/options.ts': '',
        'src/owlore/sampling/periods.ts': use('../optimizer/options'),
      },
      'src/owlore: sampling',
    ],
    'LLaMA models that know the command line': [
      {'src/cli/options.ts': '', 'src/llama/model.ts': use('../cli/options')},
      'src: llama',
    ],
    'a step that reaches into the tape': [
      {
        'src/tape/recording.ts': '',
        'src/owlore/optimizer/step/update.ts': use('../../../tape/recording'),
      },
      'no tape in the step',
    ],
    'a type of a folder above': [
      {
        'src/owlore/owlore_optimizer.ts': '',
        'src/owlore/optimizer/step/update.ts':
          "import type {X} from '../../owlore_optimizer';\nexport type Y = X;",
      },
      'src/owlore: optimizer',
    ],
    'the room of what reaches into tfjs that knows the rest': [
      {'src/common/options.ts': '', 'src/tfjs/engine.ts': use('../common/options')},
      'src: tfjs',
    ],
    'a folder that nobody knows': [{'src/magic/spell.ts': use('node:fs')}, 'unknown folder'],
    'the library that needs its tools': [
      {
        'tools/backend.ts': '',
        'src/owlore/optimizer/step/update.ts': use('../../../../tools/backend'),
      },
      'folders: src',
    ],
    'a demo that needs a benchmark': [
      {'bench/commands/memory.ts': '', 'demo/demo.ts': use('../bench/commands/memory')},
      'folders: demo',
    ],
    'a benchmark that needs a test': [
      {'test/models.ts': '', 'bench/commands/memory.ts': use('../../test/models')},
      'folders: bench',
    ],
    'a contender that needs a table': [
      {'bench/tables/memory.ts': '', 'bench/contenders/jax.ts': use('../tables/memory')},
      'bench: contenders',
    ],
    'modules in a circle': [
      {'src/model/a.ts': use('./b'), 'src/model/b.ts': use('./a')},
      'no cycles',
    ],
    'a module of Node where a browser comes by': [
      {'src/owlore/optimizer/step/update.ts': use('node:fs')},
      'nothing of Node in a browser',
    ],
    "a backend's inside in the optimizer": [
      {'src/owlore/optimizer/step/update.ts': use('@tensorflow/tfjs-backend-wasm')},
      "a backend's inside",
    ],
    'an import of a test': [
      {'test/a_test.ts': '', 'test/b_test.ts': use('./a_test')},
      'tests are programs',
    ],
  };
  for (const [title, [modules, rule]] of Object.entries(wrong)) {
    it(`refuse ${title}`, async () => {
      expect(await broken(modules)).to.include(rule);
    });
  }
});
