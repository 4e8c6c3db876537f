import js from '@eslint/js';
import tseslint from 'typescript-eslint';

// Formatting is prettier's: none of these rule sets has an opinion on it.
export default tseslint.config(
  {
    ignores: [
      '**/dist/',
      'coverage/',
      'docs/api/',
      '.tfjs-node/',
      '.stryker-tmp/',
      // AssemblyScript, and what is made of it
      'src/kernels/wasm/assembly/',
      'src/kernels/wasm/binaries.ts',
    ],
  },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: {allowDefaultProject: ['*.js']},
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      // With noUncheckedIndexedAccess `values[i]!` is how a loop says that i is in range.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        {allowNumber: true, allowBoolean: true, allowArray: true},
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', {ignoreArrowShorthand: true}],
      // Callers without types are why options are checked at run time.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // `for (let i…)` over several arrays at once, and over typed arrays, is plain in numerics.
      '@typescript-eslint/prefer-for-of': 'off',
      eqeqeq: ['error', 'always', {null: 'ignore'}],
      // tfjs wants `static get className()`, async callback hooks and `verbose: 0`.
      '@typescript-eslint/class-literal-property-style': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
      // Watching tfjs means to take a method off an object and put it back.
      '@typescript-eslint/unbound-method': 'off',
      // `config['rope_theta']` shows that the key is data and not one of our names.
      '@typescript-eslint/dot-notation': ['error', {allowIndexSignaturePropertyAccess: true}],
      '@typescript-eslint/array-type': 'off',
      '@typescript-eslint/no-unused-vars': [
        'error',
        {argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true},
      ],
      // `readJson<T>(path): T` states a belief where the caller can read it.
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      'no-console': 'error',
    },
  },
  {
    files: ['src/**'],
    rules: {
      'no-console': ['error', {allow: ['warn', 'info']}],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            {
              name: '@tensorflow/tfjs',
              message: 'The library needs tfjs-core and tfjs-layers only.',
            },
          ],
        },
      ],
    },
  },
  {
    files: ['src/**'],
    ignores: ['src/tfjs/**'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: "TSAsExpression CallExpression[callee.property.name='engine']",
          message: "What reaches into tfjs's engine stands in src/tfjs/.",
        },
      ],
    },
  },
  {
    files: ['test/**', 'demo/**', 'scripts/**', 'bench/**', 'tools/**'],
    rules: {
      'no-console': 'off',
    },
  },
  {
    files: ['test/**'],
    rules: {
      // chai: `expect(x).to.be.true`.
      '@typescript-eslint/no-unused-expressions': 'off',
      // Stand-ins for other copies' classes.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
    },
  },
  {files: ['*.js'], extends: [tseslint.configs.disableTypeChecked]},
);
