# A dependency from a folder and one from a tarball, a script, and npx. No
# registry is asked.
set -eu
export npm_config_offline=true npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
mkdir -p dependency packed project
echo '{"name": "dependency", "version": "1.0.0", "main": "index.js", "bin": "cli.js"}' >dependency/package.json
echo 'module.exports = "from a folder"' >dependency/index.js
printf '#!/usr/bin/env node\nconsole.log("from its command")\n' >dependency/cli.js
chmod +x dependency/cli.js
echo '{"name": "packed", "version": "2.0.0", "main": "index.js"}' >packed/package.json
echo 'module.exports = "from a tarball"' >packed/index.js
cd project
(cd ../packed && npm pack --silent --pack-destination ../project) >/dev/null
echo '{"name": "project", "version": "1.0.0", "scripts": {"start": "node start.js"}}' >package.json
echo 'console.log(require("dependency"), require("packed"))' >start.js
npm install --silent file:../dependency file:packed-2.0.0.tgz
npm run --silent start
npx dependency
ls node_modules/.bin
