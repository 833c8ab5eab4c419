# A repository is made, cloned over a path, changed, pushed and read back.
set -eu
git config --global user.name Agent
git config --global user.email agent@example.com
git config --global init.defaultBranch main
git init -q --bare "$HOME/origin.git"
git clone -q "$HOME/origin.git" clone 2>&1 | sed '/empty repository/d'
cd clone
echo content >file
git add file
git commit -q -m 'First commit'
git push -q origin main
cd ..
git clone -q "file://$HOME/origin.git" again
cd again
git log --format='%an: %s'
git mv file moved
git commit -q -m 'Second commit'
git worktree add -q ../tree HEAD
git gc -q
git fsck --no-progress
git diff --stat HEAD~1 | tail -n 1
cat ../tree/moved
