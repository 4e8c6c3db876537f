export {installKernels, uninstallKernels} from './install';
