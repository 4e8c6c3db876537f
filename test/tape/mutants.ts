import type {Mutant} from '../../tools/mutate';

/** A mutant of the tape. */
export interface TapeMutant extends Mutant {
  /** Whether only the tests of errors can see it; they take longer. */
  errors?: boolean;
}

/**
 * The mechanisms of the gradient tape, each with a change that breaks it: by file below `src/`, then by function. One of the tape's
 * tests has to fail for each (`npm run test:mutants`).
 */
export const tapeMutants: Readonly<Record<string, Readonly<Record<string, TapeMutant[]>>>> = {
  'tape/backward.ts': {
    backpropagate: [
      {
        mechanism: 'held tensors are released in the backward pass',
        from: 'node.saved.forEach(($tensor) => holds.release($tensor));',
        to: '',
      },
    ],
    passNode: [
      {
        mechanism: 'a gradient that is another tensor is copied',
        from: 'dx.id < since',
        to: 'false',
      },
      {
        mechanism: 'a gradient that a custom gradient keeps is copied',
        from: 'dx.kept',
        to: 'false',
      },
      {
        mechanism: 'a gradient of two inputs is copied',
        from: 'taken.add(dx.id);',
        to: '',
      },
    ],
    lastUses: [
      {
        mechanism: 'a gradient is final after the first use of the leaf',
        from: '!firstUse.has(id)',
        to: 'true',
      },
      {
        mechanism: 'what segments and closures read counts as a use',
        from: '[$inputs, ...node.reads]',
        to: '[$inputs]',
      },
    ],
    'Gradients.add': [
      {
        mechanism: 'gradients of a tensor are added up',
        from: 'addGradients(this.byId.get($id), $gradient)',
        to: '$gradient',
      },
    ],
  },
  'tape/holds.ts': {
    'Holds.hold': [
      {
        mechanism: 'a tensor saved twice is held until the second release',
        from: 'known.count++;',
        to: '',
      },
      {
        mechanism: 'tensors of another shape over the same data are held apart',
        from: "`${tensor.dtype} ${tensor.shape.join(' ')}`",
        to: "''",
      },
    ],
  },
  'tape/recording.ts': {
    'Recording.constructor': [
      {
        mechanism: 'an inner recording holds each tensor by itself',
        from: 'this.outer === null',
        to: 'true',
      },
    ],
    'Recording.run': [
      {
        mechanism: 'an error in the forward pass frees what is held',
        from: 'this.holds.dispose();',
        to: '',
        errors: true,
      },
    ],
    'Recording.recordsAlone': [
      {
        mechanism: 'no segment inside of a gradient inside of a gradient',
        from: 'this.outer === null',
        to: 'true',
      },
    ],
    'Recording.runCustom': [
      {
        mechanism: 'what a custom gradient saves is held',
        from: 'saved = tensors.map(($tensor) => this.hold($tensor))',
        to: 'saved = tensors',
      },
    ],
    'Recording.mute': [
      {
        mechanism: 'the stock tape is muted',
        from: 'insideOfOp(() => run(call))',
        to: 'run(call)',
      },
      {
        mechanism: 'an outer recording records the gradients inside of it',
        from: 'this.outer ? $alone : $muted',
        to: '$muted',
      },
    ],
    'Recording.trackedInputs': [
      {
        mechanism: 'ops without a leaf upstream are not recorded',
        from: 'this.isTracked(tensor)',
        to: 'true',
      },
    ],
    'Recording.save': [
      {
        mechanism: 'inputs are held',
        from: 'isRead ? this.hold($input) : $shape',
        to: 'isRead ? $input : $shape',
      },
      {
        mechanism: 'outputs are held',
        from: '$outputs.map(($output) => this.hold($output))',
        to: '$outputs',
      },
    ],
    'Recording.hold': [
      {
        mechanism: 'an outer recording knows what an inner one holds',
        from: 'outer.originals.set(held.id, outer.idOf(tensor));',
        to: '',
      },
    ],
    'Recording.noteReads': [
      {
        mechanism: 'closures of custom gradients are noticed',
        from: 'if (this.leaves.has(id)) this.reads?.add(id);',
        to: '',
      },
    ],
    'Recording.noteOutside': [
      {
        mechanism: 'a segment holds what it reads',
        from: 'held.push(this.holds.hold(tensor))',
        to: 'void held',
      },
      {
        mechanism: 'a segment reads what its function closes over',
        from: 'outside.set(tensor.id, tensor);',
        to: '',
      },
    ],
  },
  'tape/segment.ts': {
    runSegment: [
      {
        mechanism: 'a tensor that a segment returns twice counts once',
        from: 'result.findIndex(($first) => $first.id === id) === i',
        to: 'true',
      },
    ],
    segmentGradients: [
      {
        mechanism: 'assignments of the second run are taken back',
        from: 'variable.assign(value)',
        to: 'void [variable, value]',
      },
      {
        mechanism: 'a segment does not dispose of what it was given',
        from: 'ys.filter(($y) => !outside.includes($y))',
        to: 'ys',
      },
      {
        mechanism: 'an input that no output depends on gets no gradient',
        from: '() => null',
        to: '() => tf.tensor(0)',
      },
      {
        mechanism: 'an error in a segment frees what its second run holds',
        from: 'recording.holds.dispose();',
        to: '',
        errors: true,
      },
    ],
    runAgain: [
      {
        mechanism: 'the second run of a segment sees the same random numbers',
        from: 'withDraws(drawn, again)',
        to: 'again()',
      },
      {
        mechanism: 'the second run of a segment is given what the first has kept',
        from: 'withKeeping({take}, () => $run)',
        to: '$run',
      },
      {
        mechanism: 'the second run starts from the values before assignments',
        from: 'variable.assign(before)',
        to: 'void [variable, before]',
      },
      {
        mechanism: 'a second run that reads what it has freed starts again',
        from: 'error instanceof ReadAgainError',
        to: 'false',
      },
    ],
    noteDraws: [
      {
        mechanism: 'the first run of a segment draws its random numbers from those of the program',
        from: 'draw()',
        to: '(drawn.length + 0.5) % 1',
      },
    ],
  },
  'tape/op_sequence.ts': {
    noteOps: [
      {
        mechanism: 'what leaves a segment otherwise than by an op is not freed',
        from: '!leaving.has(name)',
        to: 'true',
      },
    ],
    runFreeing: [
      {
        mechanism: 'nothing is freed after an op that the first run had not',
        from: 'isSame &&= op === ops[number];',
        to: '',
      },
      {
        mechanism: 'the second run frees what is not read any more',
        from: 'results.get(name)!.dispose();',
        to: '',
      },
      {
        mechanism: 'a second run that reads a value which it may have left out starts again',
        from: "isOmitted(name) && kernelName !== 'Reshape'",
        to: 'false',
      },
    ],
    onlyReturnedOf: [
      {
        mechanism: 'a value that is used otherwise than by an op is not left out',
        from: 'isUsed || last < 0',
        to: 'last < 0',
      },
    ],
  },
  'tape/recompute_layers.ts': {
    withSegments: [
      {
        mechanism: 'layers inside of a block run again apart only if that is worth it',
        from: "kind === 'parts' && !isWorthwhile($inputs, $weights)",
        to: 'false',
      },
      {
        mechanism: 'a layer runs again with the inputs that it had',
        from: 'Array.isArray(inputs) ? [...inputs] : inputs',
        to: 'inputs',
      },
      {
        mechanism: 'a layer runs again with the arguments that it had',
        from: '{...ownKwargs}',
        to: 'kwargs',
      },
      {
        mechanism: 'layers inside of a block run again apart, if asked to',
        from: "which === 'auto'",
        to: 'false',
      },
      {
        mechanism: 'layers inside of a block do not run again apart, if not asked to',
        from: "which === 'auto'",
        to: 'true',
      },
      {
        mechanism: 'in the second run of a block, layers are recomputed',
        from: "runningAs('blocks', call)",
        to: 'call()',
      },
    ],
    recomputedPart: [
      {
        mechanism: 'a part of a layer runs again apart',
        from: 'isPartRecomputed(inputs, weights)',
        to: 'false',
      },
    ],
    isPartRecomputed: [
      {
        mechanism: 'a part of a layer runs again apart only if asked to',
        from: "running === 'parts'",
        to: 'true',
      },
      {
        mechanism: 'a part of a layer runs again apart only if that is worth it',
        from: 'isWorthwhile(inputs, weights)',
        to: 'true',
      },
    ],
    isSegment: [
      {
        mechanism: 'a stateful layer is no segment',
        from: 'layer.stateful || matrixCount(layer) < 2',
        to: 'matrixCount(layer) < 2',
      },
      {
        mechanism: 'a model that holds blocks is no segment',
        from: 'isNested(layer) && !holdsBlocks(layer)',
        to: 'isNested(layer)',
      },
      {
        mechanism: 'a model that a loop calls is no segment',
        from: 'isNested(layer) && !holdsBlocks(layer)',
        to: '!holdsBlocks(layer)',
      },
    ],
  },
  'tfjs/gradient_reads.ts': {
    shapeOnlyKernels: [
      {
        mechanism: 'kernels whose gradient reads values are not saved as shapes',
        from: 'tf.Sum',
        to: 'tf.Sum, tf.Maximum',
      },
      {
        mechanism: 'native kernels get the values that they read',
        from: 'tf.Sum',
        to: 'tf.Sum, tf.MaxPool',
      },
    ],
    readsInput: [
      {
        mechanism: 'of a product the other factor is saved',
        from: 'tracked.has(factors[0] === name ? $second : $first)',
        to: 'tracked.has(name)',
      },
    ],
  },
  'tfjs/engine.ts': {
    shareData: [
      {
        mechanism: 'what is held shares its data as an owner',
        from: 'engine.incRef(shared, null);',
        to: '',
      },
    ],
    withRevived: [
      {
        mechanism: 'inputs that were disposed of are revived',
        from: 'tensor.isDisposedInternal = false',
        to: 'void tensor',
      },
      {
        mechanism: 'revived inputs are disposed of again',
        from: 'tensor.isDisposedInternal = true',
        to: 'void tensor',
      },
    ],
    'watchDataUses.watching.incRef': [
      {
        mechanism: 'what a variable takes leaves a segment',
        from: 'onUse(tensor.dataId);',
        to: '',
      },
    ],
  },
  'tape/tfjs_gradients.ts': {
    canRecord: [
      {
        mechanism: 'an unknown engine is left alone',
        from: 'isKnownEngine()',
        to: 'true',
      },
    ],
  },
  'tape/gradients.ts': {
    streamGradients: [
      {
        mechanism: 'an error in the backward pass frees what is held',
        from: 'recording.holds.dispose();',
        to: '',
        errors: true,
      },
    ],
    keeping: [
      {
        mechanism: 'an error frees gradients that were taken before',
        from: 'tf.dispose(kept);',
        to: '',
        errors: true,
      },
    ],
  },
};
