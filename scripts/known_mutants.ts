/**
 * Faults that `npx tsx scripts/mutants.ts` puts in and no test of the room notices, because nobody could: what is computed, kept, printed
 * and thrown stays the same. Code before and after, and why.
 */
export const knownMutants: Readonly<
  Record<string, ReadonlyArray<{from: string; to: string; because: string}>>
> = {
  'owlore/optimizer/step/adam.ts': [
    {
      from: 'beta > 0.5',
      to: 'beta >= 0.5',
      because: 'At ½ the average is as near to one as to the other.',
    },
  ],
  'owlore/optimizer/step/fused_adam.ts': [
    {
      from: 'next.rank === variable.rank',
      to: 'false',
      because: 'It is reshaped to the shape that it has.',
    },
  ],
  'owlore/optimizer/state/orthonormalize.ts': [
    {
      from: 'i < REMOVALS',
      to: 'i <= REMOVALS',
      because: 'What is removed once more is rounding.',
    },
    {
      from: 'Math.abs(value - (i % (columns + 1) === 0 ? 1 : 0)) <= ROUNDING',
      to: 'Math.abs(value - (i % (columns + 1) === 0 ? 1 : 0)) < ROUNDING',
      because: 'No difference of float32 numbers near 1 or 0 is exactly 1e-6.',
    },
    {
      from: 'plain.smallestRest >= INDEPENDENT',
      to: 'plain.smallestRest > INDEPENDENT',
      because: 'Both decompositions do at the bound between them.',
    },
    {from: 'k < j', to: 'k <= j', because: 'What is subtracted then is 0: it is not yet set.'},
    {
      from: 'rest >= smallestRest',
      to: 'rest > smallestRest',
      because: 'At exactly ¼ a column may be taken for one that depends on others, or not.',
    },
    {
      from: 'i < columns',
      to: 'i <= columns',
      because: 'What is written after the end of a typed array is lost.',
    },
    {from: 'k < i', to: 'k <= i', because: 'The factor has zeros on its diagonal.'},
  ],
  'owlore/optimizer/state/projector.ts': [
    {from: 'x.rank === 2', to: 'false', because: 'It is reshaped to the shape that it has.'},
    {from: '[]', to: '["Stryker was here"]', because: 'No variable is called that.'},
  ],
  'owlore/optimizer/state/saved_state.ts': [
    {
      from: 'first && second',
      to: 'first || second',
      because: 'One without the other has been refused.',
    },
  ],
  'owlore/optimizer/step/step.ts': [
    {
      from: 'computesInFloat16()',
      to: 'false',
      because: 'What is then noted is asked for nowhere.',
    },
    {
      from: 'squares && Number.isFinite(Math.fround(squares.reduce((sum, x) => sum + x, 0)))',
      to: 'false',
      because: 'Scaled squares of ordinary gradients make a factor of 1.',
    },
    {
      from: 'sum + x',
      to: 'sum - x',
      because: 'It is the same with a minus sign, and asked only whether it is finite.',
    },
    {
      from: '(sum, x) => sum + x',
      to: '() => undefined',
      because: 'Scaled squares of ordinary gradients make a factor of 1.',
    },
    {
      from: "typeof options.basis === 'function'",
      to: 'true',
      because: 'A basis of this library is finite if the gradient is, which is checked before it.',
    },
    {
      from: "typeof options.basis === 'function' && !readsSynchronously()",
      to: "typeof options.basis === 'function' || !readsSynchronously()",
      because:
        'A basis of this library is finite if the gradient is; one that can be read was checked.',
    },
  ],
  'owlore/optimizer/step/update.ts': [
    {from: 'numbers.decay !== 1', to: 'true', because: 'A product with 1 changes nothing.'},
  ],
  'owlore/optimizer/rules/apollo.ts': [
    {
      from: 'SEED + step',
      to: 'SEED - step',
      because: 'Any number does that is another one in each step.',
    },
  ],
  'owlore/owlore_optimizer.ts': [
    {
      from: '[]',
      to: '["Stryker was here"]',
      because: 'It is a list of what is to be disposed of, which a text is not.',
    },
  ],
  'checkpoint/check_fits.ts': [
    {
      from: '[]',
      to: '["Stryker was here"]',
      because: 'It is a shape, and names pick variables by their names alone.',
    },
  ],
  'checkpoint/checkpoint_callback.ts': [
    {from: "every !== 'epoch'", to: 'true', because: "No number is a multiple of 'epoch'."},
  ],
  'checkpoint/manifest.ts': [
    {
      from: 'known.size === MAX_KNOWN',
      to: 'false',
      because:
        'It bounds the memory of a process that writes 100,000 files; what is forgotten is only read again.',
    },
    {
      from: 'performance.now() - time < FINEST_TIME',
      to: 'performance.now() - time <= FINEST_TIME',
      because: 'A file is never exactly 50 ms old.',
    },
  ],
  'checkpoint/save_checkpoint.ts': [
    {from: '(_file: string): boolean => false', to: '() => undefined', because: 'Both are no.'},
  ],
  'checkpoint/resume_checkpoint.ts': [
    {
      from: 'HALVINGS in saved.counters',
      to: 'true',
      because: 'The optimizer is given the state that it has once more.',
    },
  ],
  'llama/files/gguf/metadata.ts': [
    {from: 'length', to: 'true', because: 'To wait for nothing takes time alone.'},
    {from: 'content', to: 'true', because: 'To wait for nothing takes time alone.'},
  ],
  'llama/files/gguf/tensor_types.ts': [
    {
      from: 'i < count',
      to: 'i <= count',
      because: 'What is written after the end of a Float32Array is lost.',
    },
  ],
  'files/json.ts': [
    {
      from: 'i < text.length',
      to: 'i <= text.length',
      because: 'After the last character comes none that means anything.',
    },
    {
      from: 'i < json.length',
      to: 'i <= json.length',
      because: 'After the last character comes none that means anything.',
    },
    {
      from: '[]',
      to: '["Stryker was here"]',
      because: 'In valid JSON no name is outside of all objects.',
    },
  ],
  'files/hub_name.ts': [
    {
      from: 'at < 0',
      to: 'at <= 0',
      because: 'A text that begins with @ is no name, whatever its parts are.',
    },
  ],
  'files/folder_source.ts': [
    {
      from: 'filled < bytes.length',
      to: 'filled <= bytes.length',
      because: 'A read of no bytes gives none, and ends the loop.',
    },
    {
      from: '[]',
      to: '["Stryker was here"]',
      because: 'The real path of a file does not begin with a relative one.',
    },
  ],
  'files/http_get.ts': [
    {
      from: 'waited < timeout',
      to: 'waited <= timeout',
      because: 'Nobody waits for exactly as long.',
    },
    {
      from: 'brought < (LEAST_RATE * waited) / 1000',
      to: 'brought <= LEAST_RATE * waited / 1000',
      because: 'No server brings exactly so much.',
    },
  ],
  'files/folder_commit.ts': [
    {from: '[]', to: '["Stryker was here"]', because: 'No list of changes is called so.'},
    {
      from: 'performance.now() - since > PATIENCE',
      to: 'performance.now() - since >= PATIENCE',
      because: 'Nobody waits for exactly a second.',
    },
  ],
  'files/folder_sink.ts': [
    {
      from: 'written.size === 0',
      to: 'true',
      because: 'The second time there is the folder, and nothing in it to finish or to remove.',
    },
  ],
  'files/folder_lock.ts': [
    {from: '{ return false; }', to: '{}', because: 'Whoever asks takes nothing for false.'},
    {
      from: '[]',
      to: '["Stryker was here"]',
      because: 'No error has this code, and a file that is not there is of no holder.',
    },
  ],
  'llama/files/gguf/dequantize.ts': [
    {
      from: 'i < 2 * HALF',
      to: 'i <= 2 * HALF',
      because: 'The next block writes over it; after the last one it is lost.',
    },
    {
      from: 'group < GROUPS',
      to: 'group <= GROUPS',
      because: 'The next block writes over it; after the last one it is lost.',
    },
    {
      from: 'i < GROUP',
      to: 'i <= GROUP',
      because: 'The next group or block writes over it; after the last one it is lost.',
    },
  ],
  'files/half_precision.ts': [
    {
      from: 'magnitude >= 0x477ff000',
      to: 'magnitude > 0x477ff000',
      because: 'What is halfway is rounded to infinity below, too.',
    },
    {
      from: 'magnitude < 0x38800000',
      to: 'magnitude <= 0x38800000',
      because: 'Both ways are exact for 2⁻¹⁴.',
    },
    {
      from: 'Math.fround(Math.abs(value) + 0.5) - 0.5',
      to: 'Math.fround(Math.abs(value) + 0.5) + 0.5',
      because: 'That is 2²⁴ more, of which 16 bits have nothing.',
    },
    {
      from: 'i < bits.length',
      to: 'i <= bits.length',
      because: 'What is written after the end of a typed array is lost.',
    },
  ],
  'owlore/sampling/numbers.ts': [
    {
      from: 'Math.abs(value - Math.round(value)) < 1e-9',
      to: 'Math.abs(value - Math.round(value)) <= 1e-9',
      because:
        'A sum at exactly this distance from an integer, which rounding does not make, is a billionth of a block more or less.',
    },
  ],
  'owlore/layer_sampling_callback.ts': [
    {
      from: '[]',
      to: '["Stryker was here"]',
      because:
        'The weights before the first training: compared with those of a model, which they are not in any case.',
    },
  ],
  'owlore/sampling/probabilities.ts': [
    {
      from: 'scale * share < 1',
      to: 'scale * share <= 1',
      because:
        'A block whose probability is exactly 1 keeps it either way, and leaves the others the same part of γ.',
    },
  ],
  'owlore/scores/block_influence.ts': [
    {
      from: '[]',
      to: '["Stryker was here"]',
      because: 'It is a list of axes, and no axis has a text for its number.',
    },
  ],
  'owlore/scores/convolution_uses.ts': [
    {
      from: "tf.getBackend() === 'tensorflow'",
      to: 'false',
      because:
        'Cpu is another backend; on tensorflow the tests of convolutions over three axes notice it.',
    },
    {
      from: 'Math.max(after, 0)',
      to: 'Math.min(after, 0)',
      because:
        'What lies beyond the input is 0 with padding and left out without; on webgpu a test notices it.',
    },
  ],
  'tape/recording.ts': [
    {
      from: '[]',
      to: '["Stryker was here"]',
      because:
        'It is for a gradient that there is not, and to release what is no tensor does nothing.',
    },
  ],
  'tape/op_sequence.ts': [
    {
      from: 'false',
      to: 'true',
      because:
        'A function that reads in its second run what it has not read in its first runs once more, with the same result.',
    },
    {
      from: 'names.some(isOmitted)',
      to: 'names.every(isOmitted)',
      because:
        'A value that was left out shares its data with reshapes of it alone, which count as left out, too.',
    },
    {
      from: 'tensor.id >= since',
      to: 'tensor.id > since',
      because: 'No tensor has this number: it is taken from the engine, which gives each out once.',
    },
    {from: '[]', to: '["Stryker was here"]', because: 'No result has this name.'},
    {
      from: 'last < 0',
      to: 'false',
      because: 'A function that only reshapes has no op whose value could be left out.',
    },
  ],
  'tape/backward.ts': [
    {
      from: 'dx.id < since',
      to: 'dx.id <= since',
      because: 'No tensor has this number: it is taken from the engine, which gives each out once.',
    },
  ],
};
